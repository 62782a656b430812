"""`SequenceModelConfig`: what is known of a model that answers sequences, and how to build it."""

from dataclasses import dataclass

from deeprnn_keras import Recipe
from deeprnn_keras.zoo.configuration import Configuration
from deeprnn_keras.zoo.initialization import Initialization


@dataclass(frozen=True)
class SequenceModelConfig(Configuration):
    """Sequences -> deep RNN -> one answer, or one for each step.

    Attributes:
        name, title, paper, url, data: as in `LanguageModelConfig`.
        task: "classification", "regression" or "music".
        params: the weights that the entry, as it stands, has; the tests count them.
        inputs, outputs, kind, per_step, length, embedding, words, masks, offset, scale, labels: as in `SequenceModel`.
        units, num_layers, cell, activation, connection, bidirectional: as in `DeepRNN`.
        head_units: widths of hidden layers in the head.
        input_dropout, dropout, output_dropout: on X, between layers, on H^(L).
        initialization, recipe: how it starts and how it is trained.
        corpus: the function of `deeprnn_keras` that loads the data, or None.
        published: the metric in the source, or None.
        differs: what is not as in the source.
        limits: what one should know beyond the limits of its task.
    """

    name: str
    title: str
    task: str
    paper: str
    url: str
    data: str
    inputs: int
    outputs: int
    units: int | tuple
    num_layers: int
    recipe: Recipe
    params: int | None = None
    kind: str = "classes"
    per_step: bool = False
    length: int | None = None
    embedding: int | None = None
    words: tuple | None = None
    masks: bool = False
    offset: float | tuple = 0.0
    scale: float | tuple = 1.0
    labels: tuple | None = None
    cell: str | dict | tuple = "lstm"
    activation: str | None = None
    connection: str = "stack"
    bidirectional: bool = False
    head_units: tuple = ()
    input_dropout: float = 0.0
    dropout: float = 0.0
    output_dropout: float = 0.0
    initialization: Initialization = Initialization()  # noqa: RUF009 - frozen
    corpus: str | None = None
    published: str | None = None
    differs: str = ""
    limits: str = ""

    one_hot = False  # not a field

    @property
    def each_step(self):
        """Whether there is an answer at each step."""
        return self.per_step or self.kind == "notes"

    @property
    def answers(self):
        """What O is, in words."""
        plural = "s" if self.kind == "numbers" and self.outputs > 1 else ""
        return f"{self.outputs} {OUTPUTS[self.kind]}{plural}"

    @property
    def reads(self):
        """What a step is, for lists: one of so many ids, or so many features."""
        return f"{self.inputs:,} ids" if self.embedding else f"{self.inputs} feature{'s' * (self.inputs > 1)}"

    def task_words(self):
        """For the card."""
        return f"{self.task}: {self.answers} {'at each step' if self.each_step else 'for a sequence'}"

    def made(self):
        """The compiled model."""
        from deeprnn_keras import SequenceModel

        names = "kind per_step length embedding words masks offset scale labels input_dropout output_dropout head_units"
        names = [*names.split(), "activation", "connection", "bidirectional", "dropout", "name"]
        start = self.initialization.arguments(self.cell)
        if self.embedding is None:
            start.pop("embeddings_initializer", None)
        model = SequenceModel(
            self.inputs,
            self.outputs,
            self.units,
            self.num_layers,
            self.cell,
            **{name: getattr(self, name) for name in names},
            **start,
        )
        return self.recipe.compile(model, model.loss_function(), model.metric_functions())


OUTPUTS = {"classes": "classes", "binary": "probability", "numbers": "number", "notes": "notes"}
