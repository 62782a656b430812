"""Equations, weights, and traits of a recurrent cell, Keras' own or one with equations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import keras
from keras import ops

from deeprnn_keras import _compat
from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations import Equations, GRUEquations, LSTMEquations, SimpleRNNEquations
from deeprnn_keras.kernels.contract import Recurrence, Traits

NAMES = {"SimpleRNNCell": "rnn", "GRUCell": "gru", "LSTMCell": "lstm"}
STORED = ("kernel", "recurrent_kernel", "bias")
_IN_CELL = ("activation", "recurrent_activation", "use_bias", "dropout", "recurrent_dropout", "implementation")
_IN_CELL += ("reset_after",)


def cell_recurrence(cell: Any) -> Recurrence | None:
    """Return the equations and activations of a cell, or None if it has none."""
    if isinstance(cell, RecurrentCell):
        return Recurrence(cell.equations, tuple((name, _named(value)) for name, value in cell.functions.items()))
    equations = _keras_equations(cell)
    if equations is None:
        return None
    return Recurrence(equations, tuple((name, _named(getattr(cell, name))) for name in equations.activations))


def _keras_equations(cell: Any) -> Equations | None:
    name = cell_name(cell)
    if name == "rnn":
        return SimpleRNNEquations(cell.units, cell.use_bias)
    if name == "lstm":
        return LSTMEquations(cell.units, cell.use_bias)
    if name == "gru":
        return GRUEquations(cell.units, cell.use_bias, cell.reset_after)
    return None


def cell_name(cell: Any) -> str | None:
    """Return "rnn", "gru", or "lstm" for a cell of Keras, None for any other."""
    return NAMES.get(type(cell).__name__) if type(cell).__module__.startswith("keras.") else None


def stored_weights(cell: Any) -> Mapping[str, Any]:
    """Return {name: tensor} of a cell's weights as they are stored: half precision does not round them.

    Each variable is read once. (A gradient of one's own that is given a variable reads it again, and TensorFlow may
    order that read behind the optimizer's write.)
    """
    with _compat.no_autocast():
        if isinstance(cell, RecurrentCell):
            return {weight.name: ops.convert_to_tensor(weight.value) for weight in cell.weights}
        names = STORED if cell.use_bias else STORED[:2]
        return {name: ops.convert_to_tensor(getattr(cell, name).value) for name in names}


def cell_traits(cell: Any, *, unroll: bool = False, any_cell: bool = False) -> Traits:
    """Return the `Traits` of a layer around a cell.

    Args:
        cell: A Keras cell.
        unroll: The layer's argument.
        any_cell: Whether the layer is `RNN`, which runs any cell.
    """
    found: dict[str, Any] = {"unroll": bool(unroll), "any_cell": any_cell}
    if isinstance(cell, RecurrentCell):
        found |= {"type_name": type(cell.equations).__name__, "recurrent_dropout": cell.recurrent_dropout}
        return Traits(None, has_equations=True, **found)
    name = cell_name(cell)
    found["type_name"] = type(cell).__name__
    if name is None:
        return Traits(None, **found)
    for field in (field.name for field in fields(Traits) if field.name in _IN_CELL and hasattr(cell, field.name)):
        value = getattr(cell, field)
        found[field] = activation_name(value) if field.endswith("activation") else value
    return Traits(name, **found)


def activation_name(function: Any) -> str | None:
    """Return Keras' name of an activation function, one of `keras.activations` or `keras.ops`, or None."""
    name = getattr(function, "__name__", "")
    homes = (keras.activations, keras.ops) if name in ("tanh", "sigmoid") else (keras.activations,)
    return name if name and any(getattr(home, name, None) is function for home in homes) else None


def _named(function: Any) -> Any:
    return activation_name(function) or function
