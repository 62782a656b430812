"""`ScaledIdentity`: scaled identity matrix, the recurrent initializer of a ReLU RNN."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import Config, Tensor
from deeprnn_keras.keras_objects import ChecksConfig


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class ScaledIdentity(ChecksConfig, keras.initializers.Initializer):
    """Initialize a square matrix (h, h) to W = scale x I.

    With ReLU units and zero bias, the identity copies the state from step to step, so that neither the signal nor its
    gradient vanishes or explodes at the start (IRNN, Le et al. 2015, arXiv:1504.00941). A scale below 1 shortens the
    memory, which the authors used for tasks with short-range dependencies.

    Args:
        scale: A positive number.

    Raises:
        ValueError: If `scale` is not positive, or the shape is not square. For a cell with gates, wrap in `PerGate`.

    >>> import keras
    >>> from deeprnn_keras.initializers import ScaledIdentity
    >>> layer = keras.layers.SimpleRNN(100, activation="relu", recurrent_initializer=ScaledIdentity())
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale: float = checks.positive("scale", scale)

    @override
    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(
                f"ScaledIdentity requires a square shape (h, h), got {tuple(shape)}; "
                "for a cell with gates, use PerGate(ScaledIdentity())"
            )
        return ops.cast(self.scale * ops.eye(shape[0], dtype="float32"), dtype or keras.config.floatx())

    @override
    def get_config(self) -> Config:
        return {"scale": self.scale}
