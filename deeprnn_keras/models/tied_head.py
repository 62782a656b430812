"""`TiedHead`: the embedding read backwards."""

import keras
from keras import ops


class TiedHead(keras.layers.Layer):
    """Logits (n, T, V) = H E^T + b, with E (V, h) of an embedding layer.

    Args:
        embedding: the `keras.layers.Embedding`, which owns E.
        width: h.
        bias_initializer: of b (V,).
    """

    def __init__(self, embedding, width, bias_initializer="zeros", **kwargs):
        super().__init__(**kwargs)
        self.embedding, self.width = embedding, width
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, shape):
        self.bias = self.add_weight(shape=(self.embedding.input_dim,), initializer=self.bias_initializer, name="bias")

    def call(self, hidden):
        embeddings = ops.cast(self.embedding.embeddings, self.compute_dtype)
        return ops.matmul(hidden, ops.transpose(embeddings)) + self.bias

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.embedding.input_dim)
