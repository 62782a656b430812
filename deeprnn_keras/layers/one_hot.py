"""`OneHot`: token ids as indicator vectors."""

import keras
from keras import ops

from deeprnn_keras import checks


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class OneHot(keras.layers.Layer):
    """x (n, T) of whole numbers in [0, size) -> (n, T, size), 1 at the id and 0 elsewhere; it has no weights.

    The first layer's kernel then is its own embedding, one row per symbol (D2L 9.5, char-rnn).

    >>> import numpy as np
    >>> from deeprnn_keras.layers import OneHot
    >>> OneHot(3)(np.array([[0, 2]])).shape
    TensorShape([1, 2, 3])
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = checks.positive_int("size", size)
        self.built = True

    def call(self, tokens):
        return ops.one_hot(ops.cast(tokens, "int32"), self.size, dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.size)

    def get_config(self):
        return {**super().get_config(), "size": self.size}
