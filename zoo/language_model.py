"""`LanguageModelConfig`: a language model as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deeprnn_keras.stack import layer_units, output_width
from deeprnn_keras.zoo.configuration import Configuration

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig(Configuration):
    """A language model: embedding or one-hot input -> deep RNN -> head over the vocabulary.

    Attributes:
        vocabulary: V, or the characters or words themselves.
        projection: Width of a linear map without bias below the head, or None.
        tied: Whether the head uses the transposed embedding, which is then as wide as the projection, or else as the
            output of the recurrent layers.
        symbols: "characters", "words", or "bytes".
        letters: Whether text is reduced to lower-case letters and spaces first.
    """

    task: str = "language"
    vocabulary: int | str | tuple
    projection: int | None = None
    tied: bool = False
    symbols: str = "characters"
    letters: bool = False

    each_step = True  # not a field
    stored_as = "language_model"

    def __post_init__(self) -> None:
        if self.tied:
            width = self.projection or output_width(layer_units(self.units, self.num_layers), self.connection)
            object.__setattr__(self, "embedding", width)
        super().__post_init__()

    @property
    def vocabulary_size(self) -> int:
        """V."""
        return self.vocabulary if isinstance(self.vocabulary, int) else len(self.vocabulary)

    inputs = outputs = vocabulary_size

    @property
    def one_hot(self) -> bool:
        """True if ids are one-hot encoded."""
        return self.embedding is None

    def input_description(self) -> str:
        """Return the number and kind of symbols."""
        return f"{self.vocabulary_size:,} {self.symbols}"

    def output_description(self) -> str:
        """Return what O is."""
        return f"logits of {self.input_description()}"

    def task_description(self) -> str:
        """Return the task for the card."""
        return f"{self.task} model over {self.symbols}"

    def build_model(self) -> keras.Model:
        """Return the `LanguageModel`."""
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
            projection=self.projection,
            tied=self.tied,
            input_dropout=self.input_dropout,
            dropout=self.dropout,
            output_dropout=self.output_dropout,
            stateful=self.recipe.stateful,
            name=self.name,
            **self.initialization.arguments(self.cell),
        )
