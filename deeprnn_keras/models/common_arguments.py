"""`CommonArguments`: the arguments of the embedding, dropout, and head, which all models of this package have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from deeprnn_keras import checks
from deeprnn_keras._types import Activation, Config, Initializer, Layer
from deeprnn_keras.layers import DeepOutput


@dataclass(frozen=True)
class CommonArguments:
    """Arguments that `LanguageModel` and `SequenceModel` have in common, checked and converted.

    Attributes:
        embedding: Width of the embedding, or None.
        input_dropout: Dropout rate on X.
        output_dropout: Dropout rate on H^(L).
        embeddings_initializer: Initializer of the embedding.
        head_units: Widths of hidden layers of the head.
        head_activation: Activation of these hidden layers.
        head_initializer: Initializer of the kernels of the head.
        head_bias_initializer: Initializer of the biases of the head.
        dtype: Dtype or dtype policy of the layers.

    Raises:
        ValueError: If a width is not a positive integer, or a rate is outside [0, 1).
    """

    embedding: int | None
    input_dropout: float
    output_dropout: float
    embeddings_initializer: Initializer
    head_units: Sequence[int]
    head_activation: Activation
    head_initializer: Initializer
    head_bias_initializer: Initializer
    dtype: str | keras.dtype_policies.DTypePolicy | None

    def __post_init__(self) -> None:
        checks.store(
            self,
            embedding=checks.positive_int_or_none("embedding", self.embedding),
            input_dropout=checks.rate("input_dropout", self.input_dropout),
            output_dropout=checks.rate("output_dropout", self.output_dropout),
            head_units=[checks.positive_int("head_units", width) for width in self.head_units],
        )

    def dropout_layer(self, name: str, variational: bool = False) -> Layer:
        """Return the dropout layer before or after the recurrent layers.

        The seeds of all layers depend on the order in which they are created.

        Args:
            name: "input_dropout" or "output_dropout".
            variational: Use one mask per sequence (n, T, d) for all its steps.
        """
        kind = keras.layers.SpatialDropout1D if variational else keras.layers.Dropout
        return kind(getattr(self, name), dtype=self.dtype, name=name)

    def head_options(self) -> dict[str, Any]:
        """Return the keyword arguments of every head: it computes in the precision of the weights.

        A softmax in half precision loses accuracy.
        """
        policy = keras.config.dtype_policy() if self.dtype is None else keras.dtype_policies.get(self.dtype)
        return {"bias_initializer": self.head_bias_initializer, "dtype": policy.variable_dtype, "name": "head"}

    def head(self, outputs: int) -> Layer:
        """Return the head: a `DeepOutput` if there are hidden layers, else a `Dense` layer.

        Args:
            outputs: Number of outputs, q.
        """
        options = {**self.head_options(), "kernel_initializer": self.head_initializer}
        if self.head_units:
            return DeepOutput([*self.head_units, outputs], self.head_activation, **options)
        return keras.layers.Dense(outputs, **options)

    def config(self) -> Config:
        """Return the arguments as values of a configuration, without `dtype`, which that of `DeepRNN` contains."""
        initializers = ("embeddings_initializer", "head_initializer", "head_bias_initializer")
        plain = ("embedding", "input_dropout", "output_dropout", "head_units", "head_activation")
        return {
            **{name: getattr(self, name) for name in plain},
            **{name: serialize_initializer(getattr(self, name)) for name in initializers},
        }


def serialize_initializer(initializer: Initializer) -> Config | None:
    """Return an initializer as JSON values, or None."""
    return None if initializer is None else keras.initializers.serialize(keras.initializers.get(initializer))
