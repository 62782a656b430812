"""Equations, weights, and traits of Keras' own recurrent cells and of subclasses of `RecurrentCell`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import keras

from deeprnn_keras import _compat
from deeprnn_keras._types import Cell, Tensor
from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations import AffineMap, Equations, GRUEquations, LSTMEquations, SimpleRNNEquations
from deeprnn_keras.equations.first_order import first_order
from deeprnn_keras.kernels.contract import Recurrence, Traits

KERAS_CELLS = {"SimpleRNNCell": "rnn", "GRUCell": "gru", "LSTMCell": "lstm"}
KERAS_WEIGHTS = ("kernel", "recurrent_kernel", "bias")
_CELL_TRAITS = (
    "activation",
    "recurrent_activation",
    "use_bias",
    "dropout",
    "recurrent_dropout",
    "implementation",
    "reset_after",
)


def cell_recurrence(cell: Cell) -> Recurrence | None:
    """Return the equations and activations of a cell, or None if it has no equations."""
    if isinstance(cell, RecurrentCell):
        functions = cell.activation_functions.items()
        return Recurrence(cell.equations, tuple((name, _name_or_function(value)) for name, value in functions))
    equations = _keras_equations(cell)
    if equations is None:
        return None
    return Recurrence(
        equations, tuple((name, _name_or_function(getattr(cell, name))) for name in equations.activations)
    )


def _keras_equations(cell: Cell) -> Equations | None:
    name = cell_name(cell)
    if name == "rnn":
        return SimpleRNNEquations(cell.units, cell.use_bias)
    if name == "lstm":
        return LSTMEquations(cell.units, cell.use_bias)
    if name == "gru":
        return GRUEquations(cell.units, cell.use_bias, cell.reset_after)
    return None


def cell_name(cell: Cell) -> str | None:
    """Return "rnn", "gru", or "lstm" for a cell of Keras, and None for any other cell."""
    return KERAS_CELLS.get(type(cell).__name__) if type(cell).__module__.startswith("keras.") else None


def stored_weights(cell: Cell) -> Mapping[str, Tensor]:
    """Return the weights {name: variable of the backend} of a cell, which keep their dtype under autocasting."""
    with _compat.no_autocast():
        if isinstance(cell, RecurrentCell):
            return {weight.name: weight.value for weight in cell.weights}
        names = KERAS_WEIGHTS if cell.use_bias else KERAS_WEIGHTS[:2]
        return {name: getattr(cell, name).value for name in names}


def recurrent_matrices(cell: Cell) -> tuple[str, ...]:
    """Return the names of the matrices that are applied to the state; none for a cell without equations."""
    recurrence = cell_recurrence(cell)
    maps = [] if recurrence is None else recurrence.equations.maps(1)  # the names do not depend on the width of x
    return tuple(one.name for one in maps if one.role == "recurrent" and isinstance(one, AffineMap))


def cell_traits(cell: Cell, *, unroll: bool = False, any_cell: bool = False) -> Traits:
    """Return the `Traits` of a layer with this cell.

    Args:
        cell: A Keras cell.
        unroll: Argument `unroll` of the layer.
        any_cell: True for `RNN`, which supports any cell.
    """
    traits: dict[str, Any] = {"unroll": bool(unroll), "any_cell": any_cell}
    if isinstance(cell, RecurrentCell):
        traits |= {"type_name": type(cell.equations).__name__, "recurrent_dropout": cell.recurrent_dropout}
        traits |= {"unitwise": cell.unit_step is not None, "first_order": first_order(cell.unit_step) is not None}
        return Traits(None, has_equations=True, untraceable=cell.untraceable, **traits)
    name = cell_name(cell)
    traits["type_name"] = type(cell).__name__
    if name is None:
        return Traits(None, **traits)
    for trait in (field.name for field in fields(Traits) if field.name in _CELL_TRAITS and hasattr(cell, field.name)):
        value = getattr(cell, trait)
        traits[trait] = activation_name(value) if trait.endswith("activation") else value
    return Traits(name, **traits)


def activation_name(function: object) -> str | None:
    """Return the Keras name of an activation function, or None if the function is not one of Keras.

    tanh and sigmoid are also recognized as functions of `keras.ops`.
    """
    name = getattr(function, "__name__", "")
    modules = (keras.activations, keras.ops) if name in ("tanh", "sigmoid") else (keras.activations,)
    return name if name and any(getattr(module, name, None) is function for module in modules) else None


def _name_or_function(function: Callable[..., Tensor]) -> str | Callable[..., Tensor]:
    return activation_name(function) or function
