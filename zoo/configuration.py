"""`Configuration`: base class of the models of the zoo, which are described as data."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from deeprnn_keras import Recipe, checks, count_params, explain_kernels
from deeprnn_keras._types import Activation, CellSpec
from deeprnn_keras.registry import Registry
from deeprnn_keras.specs import registered_cell
from deeprnn_keras.stack import count_head_params, layer_units, layer_widths, output_width
from deeprnn_keras.tasks import Family, families
from deeprnn_keras.zoo import results, trained
from deeprnn_keras.zoo.diagram import Row, cell_label, diagram, head_rows, input_rows, recurrent_rows
from deeprnn_keras.zoo.initialization import Initialization

if TYPE_CHECKING:
    import keras

CARD_WIDTH = 100  # characters per line
CHECKS: dict[Callable[[str, object], object], tuple[str, ...]] = {
    checks.rate: ("input_dropout", "dropout", "output_dropout", "embedding_dropout", "weight_dropout"),
    checks.positive_int: ("num_layers", "inputs", "outputs"),
    checks.positive_int_or_none: ("params", "embedding", "projection", "length"),
}
"""Names of fields, also of subclasses, by the function that checks them."""

NOT_REPLACEABLE = ("name", "task", "recipe", "params")  # fields that `replace` does not accept


@dataclasses.dataclass(frozen=True, kw_only=True)
class Configuration:
    """Description of a model with a deep RNN: architecture, recipe, and source.

    A subclass adds its fields, defines `inputs` (d, or the vocabulary size V) and `outputs` (q) as fields, properties,
    or class attributes, and builds the model in `build_model`. Models other than (embedding ->) `DeepRNN` -> dense head
    also override `count_params`. Presets store the name of the class, or `stored_as` if the subclass sets it.

    Attributes:
        name: Name in the zoo.
        title: One-line description.
        task: Name of the task family, a key of `deeprnn_keras.tasks.families()`.
        paper: Source.
        url: Address of the source, or "".
        data: Description of the dataset.
        params: Number of parameters of the entry, which the tests compare with `count_params()`; None for user-defined
            configurations.
        units: Hidden units h, or one value per layer.
        num_layers: Number of recurrent layers, L.
        cell: Cell of all layers, or one per layer, as in `DeepRNN`.
        activation: As in `DeepRNN`.
        connection: As in `DeepRNN`.
        embedding: Width of the embedding of the input ids, or None.
        head_units: Widths of the hidden layers of the head.
        input_dropout: Dropout rate of the inputs X.
        dropout: Dropout rate between layers.
        output_dropout: Dropout rate of the output H^(L) of the last layer.
        initialization: Weight initialization.
        recipe: Training recipe.
        corpus: Name of the function of `deeprnn_keras.data` that loads the dataset, or None.
        published: Result stated in the source, or None.
        differs: Differences from the source.
        limits: Limitations in addition to those of the task.
        weights_dtype: Data type that trained weights are rounded to when they are published: "float16" or "float32".
    """

    name: str
    title: str
    task: str
    paper: str
    url: str = ""
    data: str
    params: int | None = None
    units: int | tuple[int, ...]
    num_layers: int
    cell: CellSpec | tuple[CellSpec, ...] = "lstm"
    activation: str | None = None
    connection: str = "stack"
    embedding: int | None = None
    head_units: tuple[int, ...] = ()
    input_dropout: float = 0.0
    dropout: float = 0.0
    output_dropout: float = 0.0
    initialization: Initialization = Initialization()  # noqa: RUF009 - frozen
    recipe: Recipe
    corpus: str | None = None
    published: str | None = None
    differs: str = ""
    limits: str = ""
    weights_dtype: str = "float16"

    # Subclasses redefine these as fields, properties, or class attributes. They are declared without a type because
    # the type system does not allow a class attribute to be overridden by a field.
    inputs: ClassVar  # int
    outputs: ClassVar  # int
    bidirectional: ClassVar = False
    tied: ClassVar = False
    variational: ClassVar = False  # True if dropout uses one mask for all steps of a sequence
    batch_normalization: ClassVar = False  # True if a batch normalization follows each recurrent layer
    normalization: ClassVar = None  # "rms" if each recurrent layer reads its normalized inputs and adds them
    projection: ClassVar = None  # int | None
    masks: ClassVar = False
    length: ClassVar = None  # int | None
    offset: ClassVar = 0.0
    scale: ClassVar = 1.0
    one_hot: ClassVar = False  # True if the input ids are one-hot encoded
    each_step: ClassVar = False  # True if there is an output at each time step
    buildable: ClassVar = True  # False if the model is counted only
    stored_as: ClassVar[str | None] = None  # "family" in a preset's config.json; None for the name of the class

    def __post_init__(self) -> None:
        """Check the fields, and store NumPy's numbers and flags as Python's."""
        names = {field.name for field in dataclasses.fields(self)}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            is_flag = field.type in (bool, "bool")
            checks.store(self, **{field.name: checks.flag(field.name, value) if is_flag else checks.to_python(value)})
        for check, checked in CHECKS.items():
            checks.store(self, **{name: check(name, getattr(self, name)) for name in checked if name in names})
        checks.one_of("weights_dtype", self.weights_dtype, ("float16", "float32"))
        for width in self.head_units:
            checks.positive_int("head_units", width)

    @property
    def family(self) -> Family:
        """The task family."""
        return families()[self.task]

    @property
    def weights(self) -> trained.TrainedWeights | None:
        """Record of the trained weights in the package, or None.

        A modified configuration has the record only if the weights do not depend on the changed fields, for example
        on dropout rates.
        """
        record = trained.read_record(self.name)
        return None if record is None or record.differences(self) else record

    # === Building ===
    def build_model(self) -> keras.Model:
        """Return the model, not compiled. Its recurrent layers are a `DeepRNN` named "deep_rnn"."""
        raise NotImplementedError(f"{type(self).__name__} must define build_model")

    def build(self) -> keras.Model:
        """Return the model, compiled with the recipe, loss, and metrics.

        Its attribute `configuration` is this object.
        """
        model = self.build_model()
        family = self.family
        self.recipe.compile(model, family.loss(model), family.metrics(model), family.weighted_metrics(model))
        model.configuration = self
        return model

    def replace(self, **overrides: Any) -> Self:
        """Return a copy with other values for fields of this configuration or of its recipe.

        `forget_bias` is a field of the initialization.

        Raises:
            ValueError: If a field is unknown; the closest name is suggested.
        """
        owners = Registry("override", {field.name: "recipe" for field in dataclasses.fields(Recipe)})
        for field in dataclasses.fields(self):
            if field.name not in NOT_REPLACEABLE:
                owners.add(field.name, "config")
        owners.add("forget_bias", "initialization")
        values: dict[str, dict[str, Any]] = {"recipe": {}, "config": {}, "initialization": {}}
        for name, value in overrides.items():
            values[owners[name]][name] = value
        if values["initialization"]:
            initialization = values["config"].get("initialization", self.initialization)
            values["config"]["initialization"] = dataclasses.replace(initialization, **values["initialization"])
        return dataclasses.replace(self, recipe=self.recipe.replace(**values["recipe"]), **values["config"])

    # === Describing ===
    def count_params(self) -> int:
        """Return the number of parameters of embedding, recurrent layers, and head, without building the model."""
        widths = layer_widths(self.units, self.num_layers, self.cell)
        geometry: dict[str, Any] = {"connection": self.connection, "bidirectional": self.bidirectional}
        recurrent = count_params(self.embedding or self.inputs, self.units, self.num_layers, self.cell, **geometry)
        recurrent += sum(map(self.count_normalization_params, widths)) + self.count_output_normalization_params()
        return recurrent + count_head_params(
            self.inputs,
            self.outputs,
            output_width(widths, **geometry),
            embedding=self.embedding,
            projection=self.projection,
            tied=self.tied,
            head_units=self.head_units,
        )

    def count_normalization_params(self, width: int) -> int:
        """Return the number of parameters of the normalization of a layer of `width` outputs per direction."""
        if self.normalization:
            return width
        return 4 * width * (2 if self.bidirectional else 1) if self.batch_normalization else 0

    def count_output_normalization_params(self) -> int:
        """Return the number of parameters of the normalization after the last recurrent layer."""
        widths = layer_widths(self.units, self.num_layers, self.cell)
        return output_width(widths, self.connection) if self.normalization else 0

    def architecture(self) -> str:
        """Return a one-line description, for example 'bidirectional LSTM 2 x 256, embedding 64'."""
        widths = self.units if isinstance(self.units, int) else "-".join(map(str, self.units))
        direction = "bidirectional " if self.bidirectional else ""
        parts = [f"{direction}{cell_label(self.cell_name())} {self.num_layers} x {widths}"]
        options = self.cell.items() if isinstance(self.cell, dict) else []
        parts += [_option_text(name.replace("_", " "), value) for name, value in options if name != "name"]
        optional_parts = (
            (self.activation, f"activation {self.activation}"),
            (self.embedding, f"embedding {self.embedding}"),
            (self.one_hot, "one-hot input"),
            (self.connection != "stack", f"{self.connection} connections"),
            (self.batch_normalization, "batch normalization"),
            (self.normalization, "residual connections, RMS normalization"),
            (self.projection, f"projection {self.projection}"),
            (self.head_units, f"{'-'.join(map(str, self.head_units))} hidden units in the head"),
            (self.tied, "tied"),
        )
        return ", ".join([*parts, *(text for present, text in optional_parts if present)])

    def cell_name(self) -> str:
        """Return the name of the cell, or the names of all cells if they differ: 'lstm', 'gru-lstm'."""
        cells = self.cell if isinstance(self.cell, (list, tuple)) else [self.cell]
        names = [registered_cell(cell).name for cell in cells]
        return names[0] if len(set(names)) == 1 else "-".join(names)

    def input_description(self) -> str:
        """Return the size of the input at a time step, for example '12 features'."""
        return f"{self.inputs:,} ids" if self.embedding else f"{self.inputs} feature{'s' * (self.inputs > 1)}"

    def output_description(self) -> str:
        """Return the size of the output, for example '9 classes'."""
        return f"{self.outputs} output{'s' * (self.outputs > 1)}"

    def task_description(self) -> str:
        """Return the task for the card."""
        return f"{self.task}: {self.output_description()} per {'time step' if self.each_step else 'sequence'}"

    def recurrences(self) -> list[tuple[str, CellSpec, Activation]]:
        """Return (path in the model, cell, activation) of each recurrent layer, for `explain_kernels`."""
        num_layers = len(layer_units(self.units, self.num_layers))
        cells = checks.per_layer("cell", self.cell, num_layers)
        activations = checks.per_layer("activation", self.activation, num_layers)
        directions = ("forward", "backward") if self.bidirectional else ("forward",)
        single_layers = self.batch_normalization or self.normalization
        path = "deep_rnn_{level}/{direction}_1" if single_layers else "deep_rnn/{direction}_{level}"
        return [
            (path.format(level=level, direction=direction), cell, activation)
            for level, (cell, activation) in enumerate(zip(cells, activations, strict=True), start=1)
            for direction in directions
        ]

    def diagram(self) -> str:
        """Return a text diagram of the stack, with shapes and parameter counts."""
        return diagram(self.rows())

    def rows(self) -> list[Row]:
        """Return the rows of the diagram, from the input to the output."""
        return [*input_rows(self), *recurrent_rows(self), *head_rows(self)]

    def kernels(self) -> str:
        """Return the implementations that run the recurrent layers, for the card."""
        return explain_kernels(self).summary()

    def dropout_rates(self) -> list[tuple[str, float]]:
        """Return (what is dropped, rate) for the card."""
        return [("input", self.input_dropout), ("between layers", self.dropout), ("output", self.output_dropout)]

    def dropout_description(self) -> str:
        """Return the dropout rates for the card."""
        rates = ", ".join(f"{dropped} {rate:g}" for dropped, rate in self.dropout_rates() if rate)
        return (rates + "; one mask per sequence" * self.variational) if rates else "none"

    def card(self) -> list[tuple[str, str]]:
        """Return the (label, value) rows of the model card."""
        rows = [
            ("task", self.task_description()),
            ("architecture", f"{self.architecture()}; input: {self.input_description()}"),
            ("parameters", f"{self.count_params():,}"),
            ("kernels", self.kernels()),
            ("dropout", self.dropout_description()),
            ("initialization", self.initialization.describe(self.cell, embedding=self.embedding is not None)),
            *self.recipe.describe(),
            ("data", self.data),
            ("intended use", self.family.intended_use),
            ("limits", " ".join(filter(None, [self.family.limits, self.limits])) or "none stated"),
            ("published result", self.published or "none"),
            *self._measured_results(),
            ("trained weights", str(self.weights or "none")),
            ("source", f"{self.paper}{' <' + self.url + '>' if self.url else ''}"),
        ]
        return rows + ([("differences", self.differs)] if self.differs else [])

    def __str__(self) -> str:
        """Return the card as text, for `print(zoo.info(name))`."""
        rows = self.card()
        label_width = max(len(label) for label, _ in rows)
        lines = [f"{self.name}: {self.title}", "", self.diagram(), ""]
        for label, value in rows:
            first, *more = textwrap.wrap(value, CARD_WIDTH - label_width - 2)
            lines += [f"{label:{label_width}}  {first}", *(" " * (label_width + 2) + line for line in more)]
        return "\n".join(lines)

    def _measured_results(self) -> list[tuple[str, str]]:
        """Return the row of measured results, or [] for a modified entry or one without results."""
        measured = results.results_of(self.name) if self.params == self.count_params() else []
        return [("measured results", "; ".join(map(results.format_result, measured)))] if measured else []


def _option_text(name: str, value: object) -> str:
    """Return an option of a cell as text, for example 'depth 2', 'shortcut', or 'no shortcut'."""
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {value}"
