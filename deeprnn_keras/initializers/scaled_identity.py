"""`ScaledIdentity`: the recurrent matrix of a ReLU RNN."""

import keras
from keras import ops

from deeprnn_keras import checks


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class ScaledIdentity(keras.initializers.Initializer):
    """W = scale x I, shape (h, h).

    With ReLU units and zero bias, the identity copies the state from step to step, so that neither the signal nor
    its gradient vanishes or explodes at the start (IRNN, Le et al. 2015, arXiv:1504.00941). A scale below 1 makes
    the memory fade, which they used for short-range tasks.

    Args:
        scale: a positive number.

    Raises:
        ValueError: if scale is not positive, or the shape not square (for a cell with gates: wrap in `PerGate`).

    >>> import keras
    >>> from deeprnn_keras.initializers import ScaledIdentity
    >>> layer = keras.layers.SimpleRNN(100, activation="relu", recurrent_initializer=ScaledIdentity())
    """

    def __init__(self, scale=1.0):
        self.scale = checks.positive("scale", scale)

    def __call__(self, shape, dtype=None):
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(
                f"ScaledIdentity needs a square shape (h, h), got {tuple(shape)}; "
                "for a cell with gates use PerGate(ScaledIdentity())"
            )
        return ops.cast(self.scale * ops.eye(shape[0], dtype="float32"), dtype or keras.config.floatx())

    def get_config(self):
        return {"scale": self.scale}
