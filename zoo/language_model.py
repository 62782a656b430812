"""`LanguageModelConfig`: what is known of a language model, and how to build it."""

from dataclasses import dataclass
from itertools import pairwise

from deeprnn_keras import Recipe, cell_spec, checks, count_weights, explain_kernels, layer_units, output_width
from deeprnn_keras.zoo.configuration import Configuration
from deeprnn_keras.zoo.initialization import Initialization


@dataclass(frozen=True)
class LanguageModelConfig(Configuration):
    """A language model: (embedding or indicator vectors) -> deep RNN -> head over the vocabulary.

    Attributes:
        name: in the zoo.
        title: one line.
        paper, url: where it comes from.
        data: what it was made for.
        params: the weights that the entry, as it stands, has; the tests count them.
        vocabulary: V, or the characters themselves.
        units, num_layers, cell, activation, connection: as in `DeepRNN`.
        embedding: width, or None for indicator vectors.
        head_units: widths of hidden layers between the recurrent layers and the logits.
        tied: the head reads the embedding backwards, which is then as wide as the output of the recurrent layers.
        input_dropout, dropout, output_dropout: on the first layer's input, between layers, before the head.
        initialization, recipe: how it starts and how it is trained.
        symbols: "characters" or "words".
        letters: whether text is reduced to lower-case letters and spaces first.
        corpus: "king_james" where the text comes with the package, else None.
        published: the metric in the source, or None.
        differs: what is not as in the source.
        weights: None: there are no trained weights.
    """

    name: str
    title: str
    paper: str
    url: str
    data: str
    vocabulary: int | str
    units: int | tuple
    num_layers: int
    recipe: Recipe
    params: int | None = None
    cell: str | dict | tuple = "lstm"
    activation: str | None = None
    connection: str = "stack"
    embedding: int | None = None
    head_units: tuple = ()
    tied: bool = False
    input_dropout: float = 0.0
    dropout: float = 0.0
    output_dropout: float = 0.0
    initialization: Initialization = Initialization()  # noqa: RUF009 - frozen
    symbols: str = "characters"
    letters: bool = False
    corpus: str | None = None
    published: str | None = None
    differs: str = ""
    task: str = "language"
    weights: None = None

    def __post_init__(self):
        for name in ("input_dropout", "dropout", "output_dropout"):
            checks.rate(name, getattr(self, name))
        for width in self.head_units:
            checks.positive_int("head_units", width)
        if self.tied:
            width = output_width(layer_units(self.units, self.num_layers), self.connection)
            object.__setattr__(self, "embedding", width)
        if self.embedding is not None:
            checks.positive_int("embedding", self.embedding)

    @property
    def vocabulary_size(self):
        """V."""
        return self.vocabulary if isinstance(self.vocabulary, int) else len(self.vocabulary)

    bidirectional, each_step = False, True  # of every language model; not fields

    @property
    def inputs(self):
        """V, what is read, and `outputs`, what is answered."""
        return self.vocabulary_size

    outputs = inputs

    @property
    def one_hot(self):
        """Whether X are indicator vectors."""
        return self.embedding is None

    @property
    def answers(self):
        """What O is, in words."""
        return f"logits of {self.reads}"

    @property
    def reads(self):
        """What a step is, for lists."""
        return f"{self.vocabulary_size:,} {self.symbols}"

    def count_params(self):
        """Embedding, recurrent layers and head, from the numbers alone."""
        units = layer_units(self.units, self.num_layers)
        inputs = self.embedding or self.vocabulary_size
        recurrent = count_weights(inputs, units, cell=self.cell, connection=self.connection)
        read = output_width(units, self.connection)
        embedding = self.vocabulary_size * (self.embedding or 0)
        if self.tied:
            return embedding + recurrent + self.vocabulary_size
        widths = (read, *self.head_units, self.vocabulary_size)
        return embedding + recurrent + sum((below + 1) * above for below, above in pairwise(widths))

    def architecture(self):
        """Such as 'LSTM 2 x 256, embedding 64'."""
        widths = self.units if isinstance(self.units, int) else "-".join(map(str, self.units))
        rest = "".join(f", {name} {value}" for name, value in self._cell_options())
        rest += f", embedding {self.embedding}" if self.embedding else ", one-hot input"
        rest += "" if self.connection == "stack" else f", {self.connection} connections"
        rest += f", hidden layers {'-'.join(map(str, self.head_units))} in the head" if self.head_units else ""
        return f"{self.cell_name().upper()} {self.num_layers} x {widths}{rest}{', tied' if self.tied else ''}"

    def cell_name(self):
        """Such as 'lstm', or 'gru-lstm'."""
        cells = self.cell if isinstance(self.cell, (list, tuple)) else [self.cell]
        return "-".join(cell_spec(cell).name for cell in cells)

    def _cell_options(self):
        options = self.cell.items() if isinstance(self.cell, dict) else []
        return [(name.replace("_", " "), value) for name, value in options if name != "name"]

    def recurrences(self):
        """[(path in the model, cell, activation)] of the recurrent layers, what `explain_kernels` needs of them."""
        num_layers = len(layer_units(self.units, self.num_layers))
        cells = checks.per_layer("cell", self.cell, num_layers)
        activations = checks.per_layer("activation", self.activation, num_layers)
        return [
            (f"deep_rnn/forward_{level}", cell, activation)
            for level, (cell, activation) in enumerate(zip(cells, activations, strict=True), start=1)
        ]

    def card(self):
        """[(what, value)] for people to read."""
        rates = (("input", self.input_dropout), ("between layers", self.dropout), ("output", self.output_dropout))
        dropout = ", ".join(f"{where} {rate:g}" for where, rate in rates if rate)
        rows = [
            ("task", f"{self.task} model over {self.symbols}"),
            ("architecture", f"{self.architecture()}; vocabulary V = {self.vocabulary_size:,}"),
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
        from deeprnn_keras import LanguageModel

        model = LanguageModel(
            self.vocabulary,
            self.units,
            self.num_layers,
            self.cell,
            activation=self.activation,
            connection=self.connection,
            embedding=self.embedding,
            head_units=self.head_units,
            tied=self.tied,
            input_dropout=self.input_dropout,
            dropout=self.dropout,
            output_dropout=self.output_dropout,
            stateful=self.recipe.stateful,
            name=self.name,
            **self.initialization.arguments(self.cell),
        )
        return self.recipe.compile(model, model.loss_function())
