"""One recurrent layer of a stack, from the arguments of the stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from deeprnn_keras.initializers import ForgetBias, PerGate, ScaledIdentity
from deeprnn_keras.initializers.seeding import draw, reseeded
from deeprnn_keras.layers.drop_ins import GRU, LSTM, RNN, SimpleRNN
from deeprnn_keras.specs import RegisteredCell, parse_cell

LAYERS = {"rnn": SimpleRNN, "gru": GRU, "lstm": LSTM}
CELL_MEMBERS = ("call", "state_size")
ROLES = ("kernel", "recurrent", "bias")


@dataclass(frozen=True)
class CellArguments:
    """The arguments of a `DeepRNN` that shape the cell of one of its layers.

    Attributes:
        activation, recurrent_activation: Functions, or None for the cell's own.
        use_bias, reset_after, recurrent_dropout: As in Keras.
        initializers, regularizers, constraints: {role: object, or None for the default}.
        seed: Of recurrent dropout.
    """

    activation: Any = None
    recurrent_activation: Any = None
    use_bias: bool = True
    reset_after: bool = True
    recurrent_dropout: float = 0.0
    initializers: Mapping[str, Any] = field(default_factory=dict)
    regularizers: Mapping[str, Any] = field(default_factory=dict)
    constraints: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None

    def given(self) -> list[str]:
        """Return the names of the arguments that are not the default."""
        plain = [name for name in ("activation", "recurrent_activation") if getattr(self, name) is not None]
        plain += [name for name in ("use_bias", "reset_after") if not getattr(self, name)]
        plain += ["recurrent_dropout"] if self.recurrent_dropout else []
        kinds = {"initializer": self.initializers, "regularizer": self.regularizers, "constraint": self.constraints}
        return plain + [f"{role}_{kind}" for kind, by_role in kinds.items() for role in ROLES if by_role.get(role)]


def check_effect(cells: list[Any], arguments: list[CellArguments]) -> None:
    """Raise a ValueError for arguments of a `DeepRNN` that have no effect.

    An activation must suit its own layer; any other argument must have an effect on one of the layers.
    """
    for level, (cell, given) in enumerate(zip(cells, arguments, strict=True), start=1):
        if callable(cell) and given.activation is not None:
            raise ValueError(
                f"activation: layer {level} uses the cell made by {cell!r}, which brings its own activation; "
                "give None for this layer"
            )
    for name in dict.fromkeys(name for given in arguments for name in given.given()):
        if any(_has_effect(name, cell) for cell in cells):
            continue
        if all(callable(cell) for cell in cells):
            raise ValueError(f"{name} has no effect on cells made by a callable; set it in the callable")
        raise ValueError(f"{name} has no effect: no layer has a cell with it, got cell={cells!r}")


def _has_effect(name: str, cell: Any) -> bool:
    if callable(cell):
        return False
    spec, _ = parse_cell(cell)
    if name in ("recurrent_activation", "use_bias", "reset_after"):
        return spec.equations is None or name in spec.options()
    return True


def make_recurrent_layer(
    cell: Any, units: int, arguments: CellArguments, place: int, **options: Any
) -> keras.layers.RNN:
    """Return a recurrent layer of a stack.

    Args:
        cell: A name, {"name": name, **options}, or a callable(units) that returns a Keras cell.
        units: h.
        arguments: What shapes the cell.
        place: Number of the layer in the stack: layers that share an initializer object draw different numbers.
        options: Arguments of `keras.layers.RNN`, and `implementation`.
    """
    if callable(cell):
        return RNN(checked_cell(cell, units), **options)
    spec, own = parse_cell(cell)
    if spec.constructor is not None:
        return _layer_with_equations(spec, own, units, arguments, place, **options)
    return LAYERS[spec.name](units, **_keras_arguments(spec, arguments, place) | own, **options)


def _keras_arguments(spec: RegisteredCell, arguments: CellArguments, place: int) -> dict[str, Any]:
    """Return the keyword arguments of a layer of Keras."""
    found: dict[str, Any] = {
        "use_bias": arguments.use_bias,
        "recurrent_dropout": arguments.recurrent_dropout,
        "seed": arguments.seed,
        **_initializers(spec.name, arguments.activation, arguments.initializers, place),
        **{f"{role}_regularizer": value for role, value in arguments.regularizers.items()},
        **{f"{role}_constraint": value for role, value in arguments.constraints.items()},
    }
    if arguments.activation is not None:
        found["activation"] = arguments.activation
    if spec.name != "rnn" and arguments.recurrent_activation is not None:
        found["recurrent_activation"] = arguments.recurrent_activation
    if spec.name == "gru":
        found["reset_after"] = arguments.reset_after
    if spec.name == "lstm":
        found["unit_forget_bias"] = False  # the bias initializer says it all
    return found


def default_initializers(cell: str, activation: Any) -> dict[str, Any]:
    """Return {role: initializer} for a cell of Keras; `DeepRNN`'s docstring gives the reasons."""
    relu_rnn = cell == "rnn" and activation is keras.activations.relu
    return {
        "kernel": PerGate("glorot_uniform"),
        "recurrent": ScaledIdentity() if relu_rnn else PerGate("orthogonal"),
        "bias": ForgetBias(1.0) if cell == "lstm" else keras.initializers.Zeros(),
    }


class _Float32Draw(keras.initializers.Initializer):
    """Draws in float32 whatever the layer's dtype: Keras' orthogonal initializer fails in half precision."""

    def __init__(self, initializer: Any) -> None:
        self.initializer = initializer

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return draw(self.initializer, shape, dtype)


def _initializers(cell: str, activation: Any, given: Mapping[str, Any], place: int) -> dict[str, Any]:
    chosen = default_initializers(cell, activation) | {role: init for role, init in given.items() if init is not None}
    ready = {}
    for role, initializer in chosen.items():
        if hasattr(initializer, "for_cell"):
            initializer = initializer.for_cell(cell)
        ready[f"{role}_initializer"] = _Float32Draw(reseeded(initializer, place))
    return ready


def _layer_with_equations(
    spec: RegisteredCell, own: Mapping[str, Any], units: int, arguments: CellArguments, place: int, **options: Any
) -> RNN:
    """Return a layer around a cell that is not one of Keras'."""
    given: dict[str, Any] = {
        f"{role}_initializer": reseeded(value, place)
        for role, value in arguments.initializers.items()
        if value is not None
    }
    for kind, by_role in (("regularizer", arguments.regularizers), ("constraint", arguments.constraints)):
        given |= {f"{role}_{kind}": value for role, value in by_role.items() if value is not None}
    if arguments.activation is not None:
        given["activation"] = arguments.activation
    if arguments.recurrent_activation is not None and "recurrent_activation" in spec.options():
        given["recurrent_activation"] = arguments.recurrent_activation
    if arguments.recurrent_dropout:
        given |= {"recurrent_dropout": arguments.recurrent_dropout, "seed": arguments.seed}
    cell = checked_cell(lambda h: spec.cell(h, dtype=options.get("dtype"), **given | own), units)
    cell.name = f"{spec.name}_cell"  # not a number that counts on: weights have the same path in every model
    return RNN(cell, **options)


def checked_cell(make_cell: Callable[[int], Any], units: int) -> Any:
    """Return `make_cell(units)`, if it is a Keras cell that a stack can hold."""
    cell = make_cell(units)
    missing = [member for member in CELL_MEMBERS if not hasattr(cell, member)]
    if missing:
        raise ValueError(
            f"cell must be a name or a callable(units) that returns a Keras cell, but {make_cell!r} returned "
            f"{type(cell).__name__} without {' and '.join(missing)}"
        )
    sizes = cell.state_size if isinstance(cell.state_size, (list, tuple)) else [cell.state_size]
    if not all(isinstance(size, int) for size in sizes):
        raise ValueError(
            f"cell: state_size must be a number or a flat list of numbers, but {make_cell!r} returned a cell with "
            f"{cell.state_size!r}; stack cells by num_layers instead of StackedRNNCells"
        )
    output = getattr(cell, "output_size", None) or sizes[0]
    if output != units:
        raise ValueError(f"cell: {make_cell!r} was called with units = {units} and returned a cell of output {output}")
    return cell
