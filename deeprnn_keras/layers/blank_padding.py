"""`BlankPadding`: outputs for CTC that are certainly blank after the end of a sequence."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras._types import Shape, Tensor
from deeprnn_keras.keras_objects import ChecksConfig

NEGLIGIBLE = -1e4  # exp(-1e4) is 0 in every precision, and float16 can represent it


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class BlankPadding(ChecksConfig, keras.layers.Layer):
    """Replace the logits of padded steps with those of a certain blank: logits (n, T, q), mask (n, T) -> (n, T, q).

    A step that is certainly blank, class 0, changes neither the CTC loss nor the decoded labels. The loss, metrics, and
    decoded labels of padded sequences are therefore those of the sequences without padding, and no lengths are needed.
    Without a mask, the layer returns its inputs.

    Args:
        kwargs: Arguments of `keras.layers.Layer`.

    >>> import numpy as np
    >>> from deeprnn_keras.layers import BlankPadding
    >>> BlankPadding()(np.ones((1, 2, 3)), mask=np.array([[True, False]])).numpy().tolist()
    [[[1.0, 1.0, 1.0], [0.0, -10000.0, -10000.0]]]
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = self.built = True

    @override
    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return inputs
        blank = ops.where(ops.arange(inputs.shape[-1]) == 0, 0.0, NEGLIGIBLE)
        return ops.where(ops.expand_dims(mask, -1), inputs, ops.cast(blank, inputs.dtype))

    @override
    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> None:
        """Return None: Keras would multiply the loss, one number per sequence, by a mask of steps."""
        return

    @override
    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape
