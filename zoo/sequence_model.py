"""`SequenceModelConfig`: a model of series as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deeprnn_keras.zoo.configuration import Configuration

if TYPE_CHECKING:
    import keras

OUTPUTS = {"classes": "classes", "binary": "probability", "numbers": "number", "notes": "notes"}


@dataclass(frozen=True, kw_only=True)
class SequenceModelConfig(Configuration):
    """Series -> deep RNN -> one output for each, or one for each of its steps.

    Attributes:
        inputs: d, features of a step; with an embedding the number of ids.
        outputs: q.
        kind: What the outputs are, as in `SequenceModel`.
        per_step: As in `SequenceModel`.
        length: T, or None for any.
        words: Words whose ids are read, or None.
        masks: As in `SequenceModel`.
        offset: As in `SequenceModel`.
        scale: As in `SequenceModel`.
        labels: Names of the classes, or None.
        bidirectional: As in `DeepRNN`.
    """

    inputs: int
    outputs: int
    kind: str = "classes"
    per_step: bool = False
    length: int | None = None
    words: tuple | None = None
    masks: bool = False
    offset: float | tuple = 0.0
    scale: float | tuple = 1.0
    labels: tuple | None = None
    bidirectional: bool = False

    stored_as = "sequence_model"  # not a field

    @property
    def each_step(self) -> bool:
        """True if there is an output for each step."""
        return self.per_step or self.kind == "notes"

    def output_description(self) -> str:
        """Return what O is."""
        plural = "s" if self.kind == "numbers" and self.outputs > 1 else ""
        return f"{self.outputs} {OUTPUTS[self.kind]}{plural}"

    def build_model(self) -> keras.Model:
        """Return the `SequenceModel`."""
        from deeprnn_keras import SequenceModel

        names = "kind per_step length embedding words masks offset scale labels input_dropout output_dropout head_units"
        names = [*names.split(), "activation", "connection", "bidirectional", "dropout", "name"]
        start = self.initialization.arguments(self.cell)
        if self.embedding is None:
            start.pop("embeddings_initializer", None)
        return SequenceModel(
            self.inputs,
            self.outputs,
            self.units,
            self.num_layers,
            self.cell,
            **{name: getattr(self, name) for name in names},
            **start,
        )
