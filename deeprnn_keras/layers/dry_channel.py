"""`AddDryChannel`: the skip connection from the input of an audio effect to its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras._types import Shape, Tensor
from deeprnn_keras.keras_objects import ChecksConfig


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class AddDryChannel(ChecksConfig, keras.layers.Layer):
    """Add the first channel of the input, the dry signal, to an output: [x (n, T, d), y (n, T, 1)] -> (n, T, 1).

        O_t = Y_t + X_t[:, :1]

    The layers below then predict only the difference between the processed and the dry signal (Wright, Damskägg, and
    Välimäki 2019). Other channels of x, such as the positions of knobs, are not added.

    Args:
        kwargs: Arguments of `keras.layers.Layer`.

    >>> import numpy as np
    >>> from deeprnn_keras.layers import AddDryChannel
    >>> AddDryChannel()([np.array([[[1.0, 5.0]]]), np.array([[[0.5]]])]).numpy().tolist()
    [[[1.5]]]
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = self.built = True

    @override
    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        dry, wet = inputs
        return wet + ops.cast(dry[..., :1], wet.dtype)

    @override
    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return input_shape[1]
