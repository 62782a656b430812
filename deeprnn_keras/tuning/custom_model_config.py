"""Configuration of a `DeepRNN` with a user-defined head."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeAlias, cast

from deeprnn_keras import checks
from deeprnn_keras._types import CellSpec, Config, Layer, Tensor
from deeprnn_keras.stack import count_params, layer_widths, output_width
from deeprnn_keras.training.recipe import Loss, Recipe

if TYPE_CHECKING:
    import keras

RECIPE_FIELDS = {field.name for field in fields(Recipe)}

Head: TypeAlias = "int | Layer | Sequence[Layer] | Callable[[Tensor], Tensor]"


class ModelConfig(Protocol):
    """Interface of a model configuration that can be tuned: a zoo configuration or a `CustomModelConfig`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    @property
    def units(self) -> int | tuple[int, ...]:
        """Hidden units h, or one number per layer."""
        ...

    @property
    def num_layers(self) -> int:
        """Number of recurrent layers, L."""
        ...

    @property
    def cell(self) -> CellSpec | tuple[CellSpec, ...]:
        """Cell of all layers, or one per layer."""
        ...

    @property
    def recipe(self) -> Recipe:
        """Training recipe."""
        ...

    def replace(self, **overrides: Any) -> Self:
        """Return a copy with other values for fields of the configuration or of its recipe."""
        ...

    def count_params(self) -> int:
        """Return the number of parameters without building the model."""
        ...

    def architecture(self) -> str:
        """Return a short description of the architecture, for example 'LSTM 2 x 64'."""
        ...

    def build(self) -> keras.Model:
        """Return the compiled model."""
        ...


@dataclass(frozen=True)
class CustomModelConfig:
    """Model of a deep RNN and a user-defined head, the alternative to a zoo configuration for `HyperDeepRNN`.

    Attributes:
        inputs: Number of features per step, d, which is short for (None, d); or (T, d), with which the implementation
            "xla" is compiled for T steps.
        head: Number of outputs q of a Dense layer; a Keras layer or a list of layers, copied for each model; or a
            function that creates new layers and applies them to the output of the recurrent layers.
        loss: Loss, as in `compile`.
        metrics: Metrics, as in `compile`.
        recipe: Training recipe.
        return_sequences: If True, the head is applied to H_t^(L) of every step instead of only the last.
        units: Hidden units h, or one number per layer.
        num_layers: Number of recurrent layers, L.
        cell: Cell of all layers, or one per layer, as in `DeepRNN`.
        connection: As in `DeepRNN`.
        input_dropout: Dropout rate on the inputs X.
        dropout: Dropout rate between layers.
        output_dropout: Dropout rate before the head.
        forget_bias: Initial bias of the keep gate, or None for the default of the cell.
        options: Further arguments of `DeepRNN`, for example bidirectional.
        name: Name of the model.

    Raises:
        ValueError: If `inputs` or `head` is not supported.

    >>> from deeprnn_keras.tuning import CustomModelConfig
    >>> config = CustomModelConfig(inputs=8, head=1, loss="mse", units=16, num_layers=2, cell="gru")
    >>> config.architecture(), config.count_params()
    ('GRU 2 x 16', 2897)
    """

    inputs: int | tuple[int | None, int]
    head: Head
    loss: Loss
    metrics: tuple[Any, ...] = ()
    recipe: Recipe = field(default_factory=Recipe)
    return_sequences: bool = False
    units: int | tuple[int, ...] = 64
    num_layers: int = 1
    cell: CellSpec | tuple[CellSpec, ...] = "lstm"
    connection: str = "stack"
    input_dropout: float = 0.0
    dropout: float = 0.0
    output_dropout: float = 0.0
    forget_bias: float | None = None
    options: Config = field(default_factory=dict)
    name: str = "deep_rnn_model"

    def __post_init__(self) -> None:
        """Check the fields, and store NumPy's numbers and flags as Python's."""
        checks.store(self, return_sequences=checks.flag("return_sequences", self.return_sequences))
        for name in ("inputs", "head", "units", "num_layers", "cell", "options"):
            checks.store(self, **{name: checks.to_python(getattr(self, name))})
        checks.store(self, num_layers=checks.positive_int("num_layers", self.num_layers))
        if self.forget_bias is not None:
            checks.store(self, forget_bias=checks.number("forget_bias", self.forget_bias))
        for name in ("input_dropout", "dropout", "output_dropout"):
            checks.store(self, **{name: checks.rate(name, getattr(self, name))})
        shape = self.inputs if isinstance(self.inputs, (tuple, list)) else (None, self.inputs)
        if len(shape) != 2:
            raise ValueError(f"inputs must be d or (T, d), got {self.inputs!r}")
        checks.positive_int("inputs", shape[1])
        if shape[0] is not None:
            checks.positive_int("inputs", shape[0])
        object.__setattr__(self, "inputs", tuple(shape))
        if not isinstance(self.head, Callable) and not isinstance(self.head, (list, tuple)):
            checks.positive_int("outputs", self.head)

    @property
    def input_shape(self) -> tuple[int | None, int]:
        """Shape of one example, (T, d)."""
        return cast("tuple[int | None, int]", self.inputs)

    def replace(self, **overrides: Any) -> Self:
        """Return a copy with other values for fields of the configuration or of its recipe."""
        recipe = {name: overrides.pop(name) for name in RECIPE_FIELDS & overrides.keys()}
        return dataclasses.replace(self, recipe=self.recipe.replace(**recipe), **overrides)

    def count_params(self) -> int:
        """Return the number of parameters; of the model, at most the head is built."""
        widths = layer_widths(self.units, self.num_layers, self.cell)
        bidirectional = self.options.get("bidirectional", False)
        sizes = (self.units, self.num_layers, self.cell, self.connection, bidirectional)
        recurrent = count_params(self.input_shape[1], *sizes)
        return recurrent + self._count_head_params(output_width(widths, self.connection, bidirectional))

    def _count_head_params(self, width: int) -> int:
        if isinstance(self.head, int):
            return (width + 1) * self.head
        import keras

        x = keras.Input((self.input_shape[0], width) if self.return_sequences else (width,))
        return keras.Model(x, self._apply_head(x)).count_params()

    def architecture(self) -> str:
        """Return a short description of the architecture, for example 'LSTM 2 x 64'."""
        widths = self.units if isinstance(self.units, int) else "-".join(map(str, self.units))
        return f"{cell_label(self.cell)} {self.num_layers} x {widths}"

    def build(self) -> keras.Model:
        """Return the compiled model."""
        import keras

        from deeprnn_keras.initializers import ForgetBias
        from deeprnn_keras.layers import DeepRNN
        from deeprnn_keras.specs import registered_cell

        # === Layers ===
        cells = self.cell if isinstance(self.cell, (list, tuple)) else [self.cell]
        bias = {}
        if self.forget_bias is not None and all(registered_cell(cell).keep_gate for cell in cells):
            bias = {"bias_initializer": ForgetBias(self.forget_bias)}
        rnn = DeepRNN(
            self.units,
            self.num_layers,
            self.cell,
            connection=self.connection,
            dropout=self.dropout,
            return_sequences=self.return_sequences,
            name="deep_rnn",
            **{**bias, **self.options},
        )
        # === Functional model ===
        x = keras.Input(self.inputs)
        hidden = keras.layers.Dropout(self.input_dropout)(x) if self.input_dropout else x
        hidden = rnn(hidden)
        hidden = keras.layers.Dropout(self.output_dropout)(hidden) if self.output_dropout else hidden
        model = keras.Model(x, self._apply_head(hidden), name=self.name)
        return self.recipe.compile(model, self.loss, self.metrics)

    def _apply_head(self, hidden: Tensor) -> Tensor:
        import keras

        if isinstance(self.head, int):
            return keras.layers.Dense(self.head, name="head")(hidden)
        layers = cast("Sequence[Layer]", self.head if isinstance(self.head, (list, tuple)) else [self.head])
        for layer in layers:
            if isinstance(layer, keras.layers.Layer):  # a copy: models must not share weights
                layer = layer.__class__.from_config(layer.get_config())
            hidden = layer(hidden)
        return hidden


def cell_label(cell: CellSpec | Sequence[CellSpec]) -> str:
    """Return a short name of the cell or cells, for example 'LSTM' or 'GRU-LSTM'."""
    cells = cell if isinstance(cell, (list, tuple)) else [cell]
    return "-".join((one["name"] if isinstance(one, Mapping) else str(one)).upper() for one in cells)
