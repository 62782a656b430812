"""`SequenceModelConfig`: configuration of a model of series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from deeprnn_keras.zoo.configuration import Configuration

if TYPE_CHECKING:
    import keras

ALWAYS_PER_STEP = ("notes", "ctc", "strokes")
OUTPUTS = {
    "classes": "classes",
    "binary": "probability",
    "numbers": "number",
    "notes": "notes",
    "ctc": "classes",
    "strokes": "parameters of the distribution of the next point",
}


@dataclass(frozen=True, kw_only=True)
class SequenceModelConfig(Configuration):
    """Model of series: deep RNN -> one output per sequence or per time step.

    Attributes:
        inputs: Number of features d of a time step; with an embedding, the number of ids.
        outputs: Number of outputs, q.
        kind: Kind of the outputs, as in `SequenceModel`.
        per_step: As in `SequenceModel`.
        length: Number of time steps T, or None for any.
        words: Words of the vocabulary whose ids are the inputs, or None.
        masks: As in `SequenceModel`.
        offset: As in `SequenceModel`.
        scale: As in `SequenceModel`.
        labels: Names of the classes, or None.
        bidirectional: As in `DeepRNN`.
        batch_normalization: As in `SequenceModel`.
    """

    inputs: int
    outputs: int
    kind: str = "classes"
    per_step: bool = False
    length: int | None = None
    words: tuple[str, ...] | None = None
    masks: bool = False
    offset: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    labels: tuple[int | str, ...] | None = None
    bidirectional: bool = False
    batch_normalization: bool = False

    stored_as = "sequence_model"  # not a field

    @property
    def each_step(self) -> bool:
        """True if there is an output at each time step."""
        return self.per_step or self.kind in ALWAYS_PER_STEP

    @override
    def output_description(self) -> str:
        plural = "s" if self.kind == "numbers" and self.outputs > 1 else ""
        return f"{self.outputs} {OUTPUTS[self.kind]}{plural}"

    @override
    def build_model(self) -> keras.Model:
        from deeprnn_keras import SequenceModel

        names = "kind per_step length embedding words masks offset scale labels input_dropout output_dropout head_units"
        names = [*names.split(), "activation", "connection", "bidirectional", "dropout", "batch_normalization", "name"]
        initializers = self.initialization.arguments(self.cell)
        if self.embedding is None:
            initializers.pop("embeddings_initializer", None)
        return SequenceModel(
            self.inputs,
            self.outputs,
            self.units,
            self.num_layers,
            self.cell,
            **{name: getattr(self, name) for name in names},
            **initializers,
        )
