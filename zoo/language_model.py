"""`LanguageModelConfig`: configuration of a language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from deeprnn_keras.stack import layer_widths, output_width
from deeprnn_keras.zoo.configuration import Configuration

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig(Configuration):
    """Language model: embedding or one-hot input -> deep RNN -> head over the vocabulary.

    Attributes:
        vocabulary: Vocabulary size V, or the characters or words themselves.
        projection: Width of a linear layer without bias between the recurrent layers and the head, or None.
        tied: If True, the head uses the transposed embedding. The width of the embedding is then that of the projection
            or, without a projection, that of the output of the recurrent layers; `embedding` is ignored.
        normalization: As in `LanguageModel`. The width of the embedding is then that of the recurrent layers;
            `embedding` is ignored.
        embedding_dropout: As in `LanguageModel`.
        weight_dropout: As in `DeepRNN`.
        variational: If True, `input_dropout`, `dropout`, and `output_dropout` use one mask per sequence for all steps.
        symbols: "characters", "words", or "bytes".
        letters: If True, texts are first reduced to lower-case letters and spaces.
    """

    task: str = "language"
    vocabulary: int | str | tuple[str, ...]
    projection: int | None = None
    tied: bool = False
    normalization: str | None = None
    embedding_dropout: float = 0.0
    weight_dropout: float = 0.0
    variational: bool = False
    symbols: str = "characters"
    letters: bool = False

    each_step = True  # not a field
    stored_as = "language_model"

    def __post_init__(self) -> None:
        if self.tied:
            widths = layer_widths(self.units, self.num_layers, self.cell)
            object.__setattr__(self, "embedding", self.projection or output_width(widths, self.connection))
        elif self.normalization:
            object.__setattr__(self, "embedding", layer_widths(self.units, self.num_layers, self.cell)[0])
        super().__post_init__()

    @property
    def vocabulary_size(self) -> int:
        """Vocabulary size, V."""
        return self.vocabulary if isinstance(self.vocabulary, int) else len(self.vocabulary)

    inputs = outputs = vocabulary_size

    @property
    def one_hot(self) -> bool:
        """True if the input ids are one-hot encoded."""
        return self.embedding is None

    @override
    def input_description(self) -> str:
        return f"{self.vocabulary_size:,} {self.symbols}"

    @override
    def output_description(self) -> str:
        return f"logits of {self.input_description()}"

    @override
    def task_description(self) -> str:
        return f"{self.task} model over {self.symbols}"

    @override
    def build_model(self) -> keras.Model:
        from deeprnn_keras import LanguageModel
        from deeprnn_keras.data import ByteVocabulary

        return LanguageModel(
            ByteVocabulary() if self.symbols == "bytes" and self.vocabulary == 256 else self.vocabulary,
            self.units,
            self.num_layers,
            self.cell,
            activation=self.activation,
            connection=self.connection,
            embedding=self.embedding,
            head_units=self.head_units,
            normalization=self.normalization,
            projection=self.projection,
            tied=self.tied,
            input_dropout=self.input_dropout,
            output_dropout=self.output_dropout,
            embedding_dropout=self.embedding_dropout,
            weight_dropout=self.weight_dropout,
            variational=self.variational,
            **self._dropout_between_layers(),
            stateful=self.recipe.stateful,
            name=self.name,
            **self.initialization.arguments(self.cell),
        )

    def _dropout_between_layers(self) -> dict[str, float | list[float]]:
        """Return the argument of `DeepRNN` for the dropout between layers."""
        if not self.variational:
            return {"dropout": self.dropout}
        return {"variational_dropout": [0.0, *[self.dropout] * (self.num_layers - 1)]}  # layer 1: `input_dropout`

    @override
    def dropout_rates(self) -> list[tuple[str, float]]:
        rates = [*super().dropout_rates(), ("symbols of the embedding", self.embedding_dropout)]
        return [*rates, ("recurrent matrices", self.weight_dropout)]
