"""`TiedHead`: output layer whose kernel is the transpose of an embedding."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras._types import Initializer, Shape, Tensor


class TiedHead(keras.layers.Layer):
    """Logits (n, T, V) = H E^T + b, with the weights E (V, h) of an embedding layer.

    Args:
        embedding: The `keras.layers.Embedding` whose weights E are shared.
        width: Number of features of the input, h.
        bias_initializer: Initializer of b (V,).
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(
        self, embedding: keras.layers.Embedding, width: int, bias_initializer: Initializer = "zeros", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.embedding, self.width = embedding, width
        self.bias_initializer = keras.initializers.get(bias_initializer)

    @override
    def build(self, input_shape: Shape) -> None:
        self.bias = self.add_weight(shape=(self.embedding.input_dim,), initializer=self.bias_initializer, name="bias")

    @override
    def call(self, inputs: Tensor) -> Tensor:
        embeddings = ops.cast(self.embedding.embeddings, self.compute_dtype)
        return ops.matmul(inputs, ops.transpose(embeddings)) + self.bias

    @override
    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.embedding.input_dim)
