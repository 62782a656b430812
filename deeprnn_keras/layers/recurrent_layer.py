"""Construction of one recurrent layer of a stack from the arguments of `DeepRNN`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
from typing_extensions import override

from deeprnn_keras._types import Cell, CellSpec, Tensor
from deeprnn_keras.initializers import ForgetBias, PerGate, ScaledIdentity
from deeprnn_keras.initializers.seeding import draw, reseeded
from deeprnn_keras.layers.drop_ins import GRU, LSTM, RNN, SimpleRNN
from deeprnn_keras.specs import RegisteredCell, parse_cell

LAYERS: dict[str, type[SimpleRNN | GRU | LSTM]] = {"rnn": SimpleRNN, "gru": GRU, "lstm": LSTM}
REQUIRED_CELL_MEMBERS = ("call", "state_size")
WEIGHT_ROLES = ("kernel", "recurrent", "bias")


@dataclass(frozen=True)
class CellArguments:
    """Arguments of a `DeepRNN` that configure the cell of one of its layers.

    The role of a weight is "kernel", "recurrent", or "bias".

    Attributes:
        activation: Activation function, or None for the default of the cell.
        recurrent_activation: Activation function of the gates, or None for the default of the cell.
        use_bias: As in Keras.
        reset_after: As in Keras.
        recurrent_dropout: As in Keras.
        initializers: {role of the weight: initializer, or None for the default}.
        regularizers: {role of the weight: regularizer, or None}.
        constraints: {role of the weight: constraint, or None}.
        seed: Random seed for recurrent dropout.
    """

    activation: Callable[[Tensor], Tensor] | None = None
    recurrent_activation: Callable[[Tensor], Tensor] | None = None
    use_bias: bool = True
    reset_after: bool = True
    recurrent_dropout: float = 0.0
    initializers: Mapping[str, keras.Initializer | None] = field(default_factory=dict)
    regularizers: Mapping[str, keras.Regularizer | None] = field(default_factory=dict)
    constraints: Mapping[str, keras.constraints.Constraint | None] = field(default_factory=dict)
    seed: int | None = None

    def non_default_names(self) -> list[str]:
        """Return the names of the arguments that differ from their defaults."""
        names = [name for name in ("activation", "recurrent_activation") if getattr(self, name) is not None]
        names += [name for name in ("use_bias", "reset_after") if not getattr(self, name)]
        names += ["recurrent_dropout"] if self.recurrent_dropout else []
        kinds = {"initializer": self.initializers, "regularizer": self.regularizers, "constraint": self.constraints}
        return names + [
            f"{role}_{kind}" for kind, by_role in kinds.items() for role in WEIGHT_ROLES if by_role.get(role)
        ]


def check_arguments_have_effect(cells: Sequence[CellSpec], arguments: Sequence[CellArguments]) -> None:
    """Check that no argument of a `DeepRNN` is silently ignored.

    Args:
        cells: Cell of each layer.
        arguments: Cell arguments of each layer.

    Raises:
        ValueError: If an activation is passed for a layer whose cell is created by a callable, or if another argument
            has an effect on none of the layers.
    """
    for layer, (cell, cell_arguments) in enumerate(zip(cells, arguments, strict=True), start=1):
        if callable(cell) and cell_arguments.activation is not None:
            raise ValueError(
                f"activation is not supported for layer {layer}, whose cell is created by the callable {cell!r}; "
                "pass None for this layer and set the activation in the callable"
            )
    for name in dict.fromkeys(name for cell_arguments in arguments for name in cell_arguments.non_default_names()):
        if any(_has_effect(name, cell) for cell in cells):
            continue
        if all(callable(cell) for cell in cells):
            raise ValueError(f"{name} has no effect on cells created by a callable; set it in the callable")
        raise ValueError(f"{name} has no effect: no layer has a cell that supports it, got cell={cells!r}")


def _has_effect(name: str, cell: CellSpec) -> bool:
    if callable(cell):
        return False
    spec, _ = parse_cell(cell)
    if name in ("recurrent_activation", "use_bias", "reset_after"):
        return spec.equations is None or name in spec.options()
    return True


def make_recurrent_layer(
    cell: CellSpec, units: int, arguments: CellArguments, index: int, **options: Any
) -> SimpleRNN | GRU | LSTM | RNN:
    """Return a recurrent layer of a stack.

    Args:
        cell: A name, {"name": name, **options}, or a callable(units) that returns a Keras cell.
        units: Number of hidden units, h.
        arguments: Arguments that configure the cell.
        index: Index of the layer among all recurrent layers of the stack. It makes layers that share an initializer
            object draw different numbers.
        options: Arguments of `deeprnn_keras.RNN`.
    """
    if callable(cell):
        return RNN(checked_cell(cell, units), **options)
    spec, cell_options = parse_cell(cell)
    if spec.constructor is not None:
        return _layer_with_registered_cell(spec, cell_options, units, arguments, index, **options)
    return LAYERS[spec.name](units, **_keras_arguments(spec, arguments, index) | cell_options, **options)


def _keras_arguments(spec: RegisteredCell, arguments: CellArguments, index: int) -> dict[str, Any]:
    """Return the keyword arguments of a `SimpleRNN`, `GRU`, or `LSTM`."""
    keyword_arguments: dict[str, Any] = {
        "use_bias": arguments.use_bias,
        "recurrent_dropout": arguments.recurrent_dropout,
        "seed": arguments.seed,
        **_keras_initializers(spec.name, arguments, index),
        **{f"{role}_regularizer": value for role, value in arguments.regularizers.items()},
        **{f"{role}_constraint": value for role, value in arguments.constraints.items()},
    }
    if arguments.activation is not None:
        keyword_arguments["activation"] = arguments.activation
    if spec.name != "rnn" and arguments.recurrent_activation is not None:
        keyword_arguments["recurrent_activation"] = arguments.recurrent_activation
    if spec.name == "gru":
        keyword_arguments["reset_after"] = arguments.reset_after
    if spec.name == "lstm":
        keyword_arguments["unit_forget_bias"] = False  # the bias initializer sets the bias of the forget gate
    return keyword_arguments


def default_initializers(cell: str, activation: Callable[[Tensor], Tensor] | None) -> dict[str, keras.Initializer]:
    """Return {role of the weight: initializer} for "rnn", "gru", or "lstm"; see `DeepRNN` for the reasons."""
    is_relu_rnn = cell == "rnn" and activation is keras.activations.relu
    return {
        "kernel": PerGate("glorot_uniform"),
        "recurrent": ScaledIdentity() if is_relu_rnn else PerGate("orthogonal"),
        "bias": ForgetBias(1.0) if cell == "lstm" else keras.initializers.Zeros(),
    }


class _Float32Draw(keras.initializers.Initializer):
    """Initializer that draws in float32 and casts: Keras' orthogonal initializer does not support half precision."""

    def __init__(self, initializer: keras.Initializer) -> None:
        self.initializer = initializer

    @override
    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        return draw(self.initializer, shape, dtype)


def _keras_initializers(cell: str, arguments: CellArguments, index: int) -> dict[str, keras.Initializer]:
    """Return {name of the argument: initializer} for "rnn", "gru", or "lstm"."""
    initializers = default_initializers(cell, arguments.activation)
    initializers |= {role: value for role, value in arguments.initializers.items() if value is not None}
    by_argument = {}
    for role, initializer in initializers.items():
        if hasattr(initializer, "for_cell"):
            initializer = initializer.for_cell(cell)
        by_argument[f"{role}_initializer"] = _Float32Draw(reseeded(initializer, "layer", index))
    return by_argument


def _layer_with_registered_cell(
    spec: RegisteredCell,
    cell_options: Mapping[str, Any],
    units: int,
    arguments: CellArguments,
    index: int,
    **options: Any,
) -> RNN:
    """Return a layer around a registered cell for which Keras has no layer."""
    cell_arguments: dict[str, Any] = {
        f"{role}_initializer": reseeded(value, "layer", index)
        for role, value in arguments.initializers.items()
        if value is not None
    }
    for kind, by_role in (("regularizer", arguments.regularizers), ("constraint", arguments.constraints)):
        cell_arguments |= {f"{role}_{kind}": value for role, value in by_role.items() if value is not None}
    if arguments.activation is not None:
        cell_arguments["activation"] = arguments.activation
    if arguments.recurrent_activation is not None and "recurrent_activation" in spec.options():
        cell_arguments["recurrent_activation"] = arguments.recurrent_activation
    cell_arguments |= {
        name: False for name in ("use_bias", "reset_after") if name in spec.options() and not getattr(arguments, name)
    }
    if arguments.recurrent_dropout:
        cell_arguments |= {"recurrent_dropout": arguments.recurrent_dropout, "seed": arguments.seed}
    cell_arguments |= cell_options
    cell = checked_cell(lambda h: spec.cell(h, dtype=options.get("dtype"), **cell_arguments), units)
    cell.name = f"{spec.name}_cell"  # without Keras' counter, so that weight paths are the same in every model
    return RNN(cell, **options)


def checked_cell(make_cell: Callable[[int], Cell], units: int) -> Cell:
    """Return `make_cell(units)` if it is a Keras cell that is supported in a stack.

    Raises:
        ValueError: If it is not a cell, has nested states, or has another number of units.
    """
    cell = make_cell(units)
    missing = [member for member in REQUIRED_CELL_MEMBERS if not hasattr(cell, member)]
    if missing:
        raise ValueError(
            f"cell must be a name or a callable(units) that returns a Keras cell, but {make_cell!r} returned "
            f"{type(cell).__name__} without {' and '.join(missing)}"
        )
    sizes = cell.state_size if isinstance(cell.state_size, (list, tuple)) else [cell.state_size]
    if not all(isinstance(size, int) for size in sizes):
        raise ValueError(
            f"cell: state_size must be an integer or a flat list of integers, but {make_cell!r} returned a cell with "
            f"{cell.state_size!r}; use num_layers instead of StackedRNNCells"
        )
    # the output of a cell that says how many units it has may have another width, for example a projection
    given = getattr(cell, "units", None) or output_size(cell)
    if given != units:
        raise ValueError(f"cell: {make_cell!r} must return a cell with {units} units, got {given}")
    return cell


def output_size(cell: Cell) -> int:
    """Return the number of output features of a cell, as Keras determines it."""
    first = cell.state_size[0] if isinstance(cell.state_size, (list, tuple)) else cell.state_size
    return getattr(cell, "output_size", None) or first
