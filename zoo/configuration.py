"""`Configuration`: what all models of the zoo have in common; it is counted, described, modified, and built."""

from __future__ import annotations

import dataclasses
import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Self

from deeprnn_keras import Recipe, checks, count_params, explain_kernels
from deeprnn_keras.registry import Registry
from deeprnn_keras.specs import registered_cell
from deeprnn_keras.stack import layer_units, output_width
from deeprnn_keras.tasks import Family, families
from deeprnn_keras.zoo import results, trained
from deeprnn_keras.zoo.diagram import diagram
from deeprnn_keras.zoo.initialization import Initialization

if TYPE_CHECKING:
    import keras

CARD_WIDTH = 100  # characters of a line
FIXED = ("name", "task", "recipe", "params")  # fields that `replace` does not change


@dataclasses.dataclass(frozen=True, kw_only=True)
class Configuration:
    """A model with a deep RNN, as data: sizes, recipe, source.

    A subclass adds its fields, defines `inputs` (d, or the vocabulary size V) and `outputs` (q) as fields, properties,
    or class attributes, and builds the model in `build_model`. Models other than (embedding ->) `DeepRNN` -> dense head
    also override `count_params`. A subclass that is saved in presets under another name than its class's sets
    `stored_as`.

    Attributes:
        name: Name in the zoo.
        title: One line.
        task: Name of its task family, as in `deeprnn_keras.tasks.families()`.
        paper: Source.
        url: Address of the source, or "".
        data: The data that it was made for.
        params: Number of weights of the entry, which tests compare with the count; None for one of your own.
        units: Hidden units h, or one number per layer.
        num_layers: L.
        cell: Cell of all layers, or one per layer, as in `DeepRNN`.
        activation: As in `DeepRNN`.
        connection: As in `DeepRNN`.
        embedding: Width of an embedding of ids, or None.
        head_units: Widths of hidden layers of the head.
        input_dropout: Dropout rate on X.
        dropout: Dropout rate between layers.
        output_dropout: Dropout rate on H^(L).
        initialization: How weights are initialized.
        recipe: How the model is trained.
        corpus: Name of the function of `deeprnn_keras.data` that loads the data, or None.
        published: The metric in the source, or None.
        differs: Differences from the source.
        limits: What to know beyond the limits of the task.
    """

    name: str
    title: str
    task: str
    paper: str
    url: str = ""
    data: str
    params: int | None = None
    units: int | tuple
    num_layers: int
    cell: str | dict | tuple = "lstm"
    activation: str | None = None
    connection: str = "stack"
    embedding: int | None = None
    head_units: tuple = ()
    input_dropout: float = 0.0
    dropout: float = 0.0
    output_dropout: float = 0.0
    initialization: Initialization = Initialization()  # noqa: RUF009 - frozen
    recipe: Recipe
    corpus: str | None = None
    published: str | None = None
    differs: str = ""
    limits: str = ""

    # fields of subclasses where they apply
    bidirectional: ClassVar = False
    tied: ClassVar = False
    projection: ClassVar = None
    masks: ClassVar = False
    length: ClassVar = None
    offset: ClassVar = 0.0
    scale: ClassVar = 1.0
    one_hot: ClassVar = False  # whether ids are one-hot encoded
    each_step: ClassVar = False  # whether there is an output for each step
    stored_as: ClassVar = None  # "family" in a preset's config.json; None: the name of the class

    def __post_init__(self) -> None:
        for name in ("input_dropout", "dropout", "output_dropout"):
            checks.rate(name, getattr(self, name))
        for width in self.head_units:
            checks.positive_int("head_units", width)
        if self.embedding is not None:
            checks.positive_int("embedding", self.embedding)

    @property
    def family(self) -> Family:
        """The task family."""
        return families()[self.task]

    @property
    def weights(self) -> trained.Trained | None:
        """The trained weights in the package, or None.

        A modified configuration has none, unless only values changed that weights do not depend on, such as rates.
        """
        found = trained.read_record(self.name)
        return None if found is None or found.contradictions(self) else found

    # === Building ===
    def build_model(self) -> keras.Model:
        """Return the model, not compiled; the recurrent layers are a `DeepRNN` named "deep_rnn"."""
        raise NotImplementedError(f"{type(self).__name__} must define build_model")

    def build(self) -> keras.Model:
        """Return the model compiled with recipe, loss, and metrics; its attribute `configuration` is this object."""
        model = self.build_model()
        self.recipe.compile(model, self.family.loss(model), self.family.metrics(model))
        model.configuration = self
        return model

    def replace(self, **overrides: Any) -> Self:
        """Return this configuration with other values for its fields, or for those of its recipe.

        `forget_bias` is a field of the initialization.

        Raises:
            ValueError: For an unknown field; the nearest name is suggested.
        """
        owners = Registry("override", {field.name: "recipe" for field in dataclasses.fields(Recipe)})
        for field in dataclasses.fields(self):
            if field.name not in FIXED:
                owners.add(field.name, "config")
        owners.add("forget_bias", "initialization")
        values: dict[str, dict[str, Any]] = {"recipe": {}, "config": {}, "initialization": {}}
        for name, value in overrides.items():
            values[owners[name]][name] = value
        if values["initialization"]:
            start = values["config"].get("initialization", self.initialization)
            values["config"]["initialization"] = dataclasses.replace(start, **values["initialization"])
        return dataclasses.replace(self, recipe=self.recipe.replace(**values["recipe"]), **values["config"])

    # === Describing ===
    def count_params(self) -> int:
        """Return the number of weights of embedding, recurrent layers, and head, from the numbers alone."""
        units = layer_units(self.units, self.num_layers)
        shape = {"connection": self.connection, "bidirectional": self.bidirectional}
        recurrent = count_params(self.embedding or self.inputs, units, cell=self.cell, **shape)
        width = output_width(units, **shape)
        below = self.inputs * (self.embedding or 0) + recurrent + width * (self.projection or 0)
        if self.tied:
            return below + self.outputs
        widths = (self.projection or width, *self.head_units, self.outputs)
        return below + sum((lower + 1) * upper for lower, upper in pairwise(widths))

    def architecture(self) -> str:
        """Return a line such as 'bidirectional LSTM 2 x 256, embedding 64'."""
        widths = self.units if isinstance(self.units, int) else "-".join(map(str, self.units))
        text = (
            f"{'bidirectional ' if self.bidirectional else ''}{self.cell_name().upper()} {self.num_layers} x {widths}"
        )
        options = self.cell.items() if isinstance(self.cell, dict) else []
        text += "".join(f", {name.replace('_', ' ')} {value}" for name, value in options if name != "name")
        text += f", activation {self.activation}" if self.activation else ""
        text += f", embedding {self.embedding}" if self.embedding else ""
        text += ", one-hot input" if self.one_hot else ""
        text += "" if self.connection == "stack" else f", {self.connection} connections"
        text += f", projection {self.projection}" if self.projection else ""
        text += f", hidden layers {'-'.join(map(str, self.head_units))} in the head" if self.head_units else ""
        return text + (", tied" if self.tied else "")

    def cell_name(self) -> str:
        """Return a name such as 'lstm' or 'gru-lstm'."""
        cells = self.cell if isinstance(self.cell, (list, tuple)) else [self.cell]
        return "-".join(registered_cell(cell).name for cell in cells)

    def input_description(self) -> str:
        """Return what a step is, such as '12 features'."""
        return f"{self.inputs:,} ids" if self.embedding else f"{self.inputs} feature{'s' * (self.inputs > 1)}"

    def output_description(self) -> str:
        """Return what O is, such as '9 classes'."""
        return f"{self.outputs} output{'s' * (self.outputs > 1)}"

    def task_description(self) -> str:
        """Return the task for the card."""
        return f"{self.task}: {self.output_description()} {'at each step' if self.each_step else 'for a sequence'}"

    def recurrences(self) -> list[tuple[str, Any, Any]]:
        """Return (path in the model, cell, activation) of each recurrent layer, as `explain_kernels` reads them."""
        num_layers = len(layer_units(self.units, self.num_layers))
        cells = checks.per_layer("cell", self.cell, num_layers)
        activations = checks.per_layer("activation", self.activation, num_layers)
        directions = ("forward", "backward") if self.bidirectional else ("forward",)
        return [
            (f"deep_rnn/{direction}_{level}", cell, activation)
            for level, (cell, activation) in enumerate(zip(cells, activations, strict=True), start=1)
            for direction in directions
        ]

    def diagram(self) -> str:
        """Return the stack as a picture in text, with shapes and weights."""
        return diagram(self)

    def card(self) -> list[tuple[str, str]]:
        """Return the rows of the card, (what, value)."""
        rates = (("input", self.input_dropout), ("between layers", self.dropout), ("output", self.output_dropout))
        dropout = ", ".join(f"{where} {rate:g}" for where, rate in rates if rate)
        rows = [
            ("task", self.task_description()),
            ("architecture", f"{self.architecture()}; reads {self.input_description()}"),
            ("weights count", f"{self.count_params():,}"),
            ("kernels", explain_kernels(self).summary()),
            ("dropout", dropout or "none"),
            ("initialization", str(self.initialization)),
            *self.recipe.describe(),
            ("data", self.data),
            ("intended use", self.family.intended_use),
            ("limits", " ".join(filter(None, [self.family.limits, self.limits])) or "none stated"),
            ("published result", self.published or "none"),
            *self._results(),
            ("trained weights", str(self.weights or "none")),
            ("source", f"{self.paper}{' <' + self.url + '>' if self.url else ''}"),
        ]
        return rows + ([("differs from it", self.differs)] if self.differs else [])

    def __str__(self) -> str:
        """Return the card as text, for `print(zoo.info(name))`."""
        rows = self.card()
        widest = max(len(what) for what, _ in rows)
        lines = [f"{self.name}: {self.title}", "", self.diagram(), ""]
        for what, value in rows:
            first, *more = textwrap.wrap(value, CARD_WIDTH - widest - 2)
            lines += [f"{what:{widest}}  {first}", *(" " * (widest + 2) + line for line in more)]
        return "\n".join(lines)

    def _results(self) -> list[tuple[str, str]]:
        """Return the row of results of the entry, if this is the entry unmodified."""
        found = results.results_of(self.name) if self.params == self.count_params() else []
        return [("results here", "; ".join(map(results.shown, found)))] if found else []
