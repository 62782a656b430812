"""`OneHot`: one-hot encoding of token ids."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import Config, Shape, Tensor
from deeprnn_keras.keras_objects import ChecksConfig
from deeprnn_keras.layers.call_arguments import check_ids


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class OneHot(ChecksConfig, keras.layers.Layer):
    """One-hot encoding of token ids: integers (n, T) in [0, size) -> (n, T, size). It has no weights.

    The kernel of the first recurrent layer then serves as the embedding, with one row per symbol, as in char-rnn and
    Dive into Deep Learning, 9.5.

    Args:
        size: Number of symbols.
        kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `size` is not a positive integer; in the call, if an id is not an integer in [0, size). In a
            graph, TensorFlow raises an InvalidArgumentError instead.

    >>> import numpy as np
    >>> from deeprnn_keras.layers import OneHot
    >>> OneHot(3)(np.array([[0, 2]])).shape
    TensorShape([1, 2, 3])
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})  # half precision would round ids
        self.size = checks.positive_int("size", size)
        self.built = True

    @override
    def call(self, inputs: Tensor) -> Tensor:
        return ops.one_hot(check_ids(self.name, inputs, self.size), self.size, dtype=self.compute_dtype)

    @override
    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.size)

    @override
    def get_config(self) -> Config:
        return {**super().get_config(), "size": self.size}
