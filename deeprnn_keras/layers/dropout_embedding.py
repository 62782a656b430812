"""`DropoutEmbedding`: embedding with dropout of whole symbols."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import Config, Tensor
from deeprnn_keras.keras_objects import ChecksConfig


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class DropoutEmbedding(ChecksConfig, keras.layers.Embedding):
    """Embedding (n, T) -> (n, T, d) that drops whole symbols in training: one mask over the vocabulary per batch.

        X_t = E[w_t] m[w_t] / (1 - p),  m[w] = 0 with probability p, else 1

    All occurrences of a dropped symbol in a batch are zero (Gal & Ghahramani 2016; Merity et al. 2017). A head that
    shares E uses it without dropout.

    Args:
        input_dim: Number of symbols, V.
        output_dim: Width of the embedding, d.
        dropout: p, in [0, 1).
        seed: Random seed, or None.
        **kwargs: Other arguments of `keras.layers.Embedding`.

    Raises:
        ValueError: If `dropout` is not in [0, 1).

    >>> import keras
    >>> from deeprnn_keras.layers.dropout_embedding import DropoutEmbedding
    >>> DropoutEmbedding(5, 3, dropout=0.1)(keras.ops.array([[0, 1, 4]])).shape
    TensorShape([1, 3, 3])
    """

    def __init__(
        self, input_dim: int, output_dim: int, *, dropout: float = 0.0, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(input_dim, output_dim, **kwargs)
        self.dropout, self.seed = checks.rate("dropout", dropout), checks.seed("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    @override
    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        embedded = super().call(inputs)
        if not training or not self.dropout:
            return embedded
        factors = keras.random.dropout(ops.ones((self.input_dim,)), self.dropout, seed=self.seed_generator)
        return embedded * ops.cast(ops.take(factors, ops.cast(inputs, "int32"), axis=0), embedded.dtype)[..., None]

    @override
    def compute_output_spec(self, inputs: Tensor, training: bool = False) -> Tensor:
        return super().compute_output_spec(inputs)

    @override
    def get_config(self) -> Config:
        return {**super().get_config(), "dropout": self.dropout, "seed": self.seed}
