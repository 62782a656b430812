"""`SequenceModelConfig`: what is known of a model that answers sequences, and how to build it."""

from dataclasses import dataclass
from itertools import pairwise

from deeprnn_keras import Recipe, cell_spec, checks, count_weights, explain_kernels, layer_units, output_width
from deeprnn_keras.zoo.configuration import Configuration
from deeprnn_keras.zoo.initialization import Initialization


@dataclass(frozen=True)
class SequenceModelConfig(Configuration):
    """Sequences -> deep RNN -> one answer, or one for each step.

    Attributes:
        name, title, paper, url, data: as in `LanguageModelConfig`.
        task: "classification", "regression" or "music".
        params: the weights that the entry, as it stands, has; the tests count them.
        inputs, outputs, kind, per_step, length, embedding, masks, offset, scale, labels: as in `SequenceModel`.
        units, num_layers, cell, activation, connection, bidirectional: as in `DeepRNN`.
        head_units: widths of hidden layers in the head.
        input_dropout, dropout, output_dropout: on X, between layers, on H^(L).
        initialization, recipe: how it starts and how it is trained.
        corpus: the function of `deeprnn_keras` that loads the data, or None.
        published: the metric in the source, or None.
        differs: what is not as in the source.
        weights: None: there are no trained weights.
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
    weights: None = None

    def __post_init__(self):
        for name in ("input_dropout", "dropout", "output_dropout"):
            checks.rate(name, getattr(self, name))
        for width in self.head_units:
            checks.positive_int("head_units", width)

    def count_params(self):
        """Embedding, recurrent layers and head, from the numbers alone."""
        units = layer_units(self.units, self.num_layers)
        shape = {"connection": self.connection, "bidirectional": self.bidirectional}
        recurrent = count_weights(self.embedding or self.inputs, units, cell=self.cell, **shape)
        widths = (output_width(units, **shape), *self.head_units, self.outputs)
        head = sum((below + 1) * above for below, above in pairwise(widths))
        return self.inputs * (self.embedding or 0) + recurrent + head

    def cell_name(self):
        """Such as 'lstm', or 'gru-lstm'."""
        cells = self.cell if isinstance(self.cell, (list, tuple)) else [self.cell]
        return "-".join(cell_spec(cell).name for cell in cells)

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

    def architecture(self):
        """Such as 'bidirectional LSTM 2 x 64, embedding 128'."""
        widths = self.units if isinstance(self.units, int) else "-".join(map(str, self.units))
        text = (
            f"{'bidirectional ' if self.bidirectional else ''}{self.cell_name().upper()} {self.num_layers} x {widths}"
        )
        text += f", activation {self.activation}" if self.activation else ""
        text += f", embedding {self.embedding}" if self.embedding else ""
        text += "" if self.connection == "stack" else f", {self.connection} connections"
        return text + (f", hidden layers {'-'.join(map(str, self.head_units))} in the head" if self.head_units else "")

    def recurrences(self):
        """[(path in the model, cell, activation)] of the recurrent layers, what `explain_kernels` needs of them."""
        num_layers = len(layer_units(self.units, self.num_layers))
        cells = checks.per_layer("cell", self.cell, num_layers)
        activations = checks.per_layer("activation", self.activation, num_layers)
        ways = ("forward", "backward") if self.bidirectional else ("forward",)
        return [
            (f"deep_rnn/{way}_{level}", cell, activation)
            for level, (cell, activation) in enumerate(zip(cells, activations, strict=True), start=1)
            for way in ways
        ]

    def card(self):
        """[(what, value)] for people to read."""
        rates = (("input", self.input_dropout), ("between layers", self.dropout), ("output", self.output_dropout))
        dropout = ", ".join(f"{where} {rate:g}" for where, rate in rates if rate)
        what = "ids" if self.embedding else "features a step"
        each = "at each step" if self.each_step else "for a sequence"
        rows = [
            ("task", f"{self.task}: {self.answers} {each}"),
            ("architecture", f"{self.architecture()}; reads {self.inputs:,} {what}"),
            ("weights count", f"{self.count_params():,}"),
            ("kernels", explain_kernels(self).summary()),
            ("dropout", dropout or "none"),
            ("initialization", str(self.initialization)),
            *self.recipe.describe(),
            ("data", self.data),
            ("published result", self.published or "none"),
            ("trained weights", self.weights or "none"),
            ("source", f"{self.paper}{' <' + self.url + '>' if self.url else ''}"),
        ]
        return rows + ([("differs from it", self.differs)] if self.differs else [])

    def made(self):
        """The compiled model."""
        from deeprnn_keras import SequenceModel

        names = ("kind", "per_step", "length", "embedding", "masks", "offset", "scale", "labels", "input_dropout")
        names += ("output_dropout", "head_units", "activation", "connection", "bidirectional", "dropout", "name")
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
