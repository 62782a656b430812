"""`HardSigmoid` and `TimeMajor`: what Keras 2 computes and Keras 3 does not."""

from __future__ import annotations

from typing import Any, Self

import keras
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import Config, Layer, Nested, Shape, Tensor
from deeprnn_keras.equations import primitives
from deeprnn_keras.keras_objects import ChecksConfig, check_config


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class HardSigmoid:
    """Hard sigmoid with a given slope: slope * x + 0.5, limited to [0, 1].

    The `"hard_sigmoid"` of Keras 2 has the slope 0.2, that of Keras 3 has the slope 1/6.

    Args:
        slope: Slope around 0.

    >>> from deeprnn_keras.interop.keras2_layers import HardSigmoid
    >>> float(HardSigmoid(0.25)(1.0))
    0.75
    """

    def __init__(self, slope: float = 0.2) -> None:
        self.slope = checks.positive("slope", slope)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the value for each element of a tensor, an array, or a symbol."""
        return primitives.hard_sigmoid(6.0 * self.slope * x)

    def get_config(self) -> Config:
        """Return the arguments."""
        return {"slope": self.slope}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Return the function of a configuration."""
        check_config(config, f"{cls.__name__} config")
        return cls(**config)


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class TimeMajor(ChecksConfig, keras.layers.Wrapper):
    """Recurrent layer whose input and output sequences have the time axis first, (T, n, d) and (T, n, h).

    Keras 2 has the argument `time_major=True` for such layers, Keras 3 does not. States have the shape (n, h).

    Args:
        layer: Recurrent layer, or `keras.layers.Bidirectional`, for sequences (n, T, d).
        **kwargs: Arguments of `keras.layers.Layer`.

    >>> import keras, numpy as np
    >>> from deeprnn_keras.interop.keras2_layers import TimeMajor
    >>> layer = TimeMajor(keras.layers.GRU(4, return_sequences=True))
    >>> layer(np.zeros((5, 2, 3))).shape
    TensorShape([5, 2, 4])
    """

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    @override
    def build(self, input_shape: Shape) -> None:
        super().build(_swapped_shape(input_shape))
        self.built = True

    @override
    def call(
        self, x: Tensor, initial_state: Nested = None, mask: Tensor | None = None, training: bool = False
    ) -> Nested:
        mask = None if mask is None else _swapped(mask)
        result = self.layer(_swapped(x), initial_state=initial_state, mask=mask, training=training)
        if not self.layer.return_sequences:
            return result
        if not isinstance(result, (list, tuple)):
            return _swapped(result)
        sequences = _num_sequences(self.layer)
        return [_swapped(one) if index < sequences else one for index, one in enumerate(result)]

    @override
    def compute_mask(self, inputs: Tensor, previous_mask: Nested = None) -> Nested:
        if not self.layer.return_sequences:
            return None
        return [previous_mask] * 2 if _num_sequences(self.layer) == 2 else previous_mask


def _num_sequences(layer: Layer) -> int:
    """Return the number of sequences among the outputs of a recurrent layer."""
    return 2 if getattr(layer, "merge_mode", "") is None else 1


def _swapped(x: Tensor) -> Tensor:
    return keras.ops.swapaxes(x, 0, 1)


def _swapped_shape(shape: Shape) -> Shape:
    return (shape[1], shape[0], *shape[2:])
