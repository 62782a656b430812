"""`LanguageModelConfig`: what is known of a language model, and how to build it."""

from dataclasses import dataclass

from deeprnn_keras import Recipe, layer_units, output_width
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
        vocabulary: V, or the characters, or words, themselves.
        units, num_layers, cell, activation, connection: as in `DeepRNN`.
        embedding: width, or None for indicator vectors.
        head_units: widths of hidden layers between the recurrent layers and the logits.
        projection: width of a linear map without bias below the head, or None.
        tied: the head reads the embedding backwards, which is then as wide as the projection, or else as the output of
            the recurrent layers.
        input_dropout, dropout, output_dropout: on the first layer's input, between layers, before the head.
        initialization, recipe: how it starts and how it is trained.
        symbols: "characters", "words" or "bytes".
        letters: whether text is reduced to lower-case letters and spaces first.
        corpus: "king_james" where the text comes with the package, else None.
        published: the metric in the source, or None.
        differs: what is not as in the source.
        limits: what one should know beyond the limits of its task.
    """

    name: str
    title: str
    paper: str
    url: str
    data: str
    vocabulary: int | str | tuple
    units: int | tuple
    num_layers: int
    recipe: Recipe
    params: int | None = None
    cell: str | dict | tuple = "lstm"
    activation: str | None = None
    connection: str = "stack"
    embedding: int | None = None
    head_units: tuple = ()
    projection: int | None = None
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
    limits: str = ""
    task: str = "language"

    def __post_init__(self):
        if self.tied:
            width = self.projection or output_width(layer_units(self.units, self.num_layers), self.connection)
            object.__setattr__(self, "embedding", width)
        super().__post_init__()

    each_step = True  # not a field

    @property
    def vocabulary_size(self):
        """V."""
        return self.vocabulary if isinstance(self.vocabulary, int) else len(self.vocabulary)

    inputs = outputs = vocabulary_size

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

    def task_words(self):
        """For the card."""
        return f"{self.task} model over {self.symbols}"

    def made(self):
        """The compiled model."""
        from deeprnn_keras import ByteVocabulary, LanguageModel

        model = LanguageModel(
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
        return self.recipe.compile(model, model.loss_function())
