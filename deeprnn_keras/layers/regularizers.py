"""Variational dropout, weight dropout, and zoneout of a `DeepRNN`: checks of the rates, and the layers that draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras

from deeprnn_keras import checks
from deeprnn_keras._types import Cell
from deeprnn_keras.cells.keras_cells import cell_recurrence, recurrent_matrices
from deeprnn_keras.kernels import selection
from deeprnn_keras.layers.zoneout import Zoneout

if TYPE_CHECKING:
    from deeprnn_keras.layers.deep_rnn import DeepRNN
    from deeprnn_keras.layers.drop_ins import SelectsImplementation

CELL_AND_OUTPUT = ("h", "c")
"""States of a cell that accepts a pair of zoneout rates, in their order."""


def rates(name: str, value: float | Sequence[float], num_layers: int) -> float | list[float]:
    """Return dropout rates: a float, or a list with one rate per layer.

    Raises:
        ValueError: If a rate is not in [0, 1), or a list does not have one entry per layer.
    """
    if not isinstance(value, (list, tuple)):
        return checks.rate(name, value)
    return [checks.rate(name, one) for one in checks.per_layer(name, value, num_layers)]


def zoneout(value: float | Sequence[float]) -> float | list[float]:
    """Return the argument `zoneout`: a float, or a list [rate of c, rate of h].

    Raises:
        ValueError: If a rate is not in [0, 1), or a list does not have two entries.
    """
    if not isinstance(value, (list, tuple)):
        return checks.rate("zoneout", value)
    if len(value) != len(CELL_AND_OUTPUT):
        raise ValueError(f"zoneout must be a rate or a pair (rate of c, rate of h), got {value!r}")
    return [checks.rate("zoneout", one) for one in value]


def input_dropouts(stack: DeepRNN) -> list[keras.layers.Dropout]:
    """Return the layers that draw the masks of variational dropout, for each level with a rate above 0."""
    return [
        keras.layers.Dropout(rate, seed=_seed(stack, 1, level), name=f"variational_dropout_{level + 1}")
        for level, rate in enumerate(input_rates(stack))
        if rate
    ]


def input_rates(stack: DeepRNN) -> list[float]:
    """Return the rate of variational dropout of the input of each level."""
    return checks.per_layer("variational_dropout", stack.variational_dropout, stack.num_layers)


def add_to_layers(stack: DeepRNN) -> None:
    """Add weight dropout and zoneout to the recurrent layers of a stack.

    Raises:
        ValueError: If the cell of a layer does not support them.
    """
    values = checks.per_layer("weight_dropout", stack.weight_dropout, stack.num_layers)
    for level, layers in enumerate(stack.levels):
        for direction, layer in enumerate(layers):
            index = level * len(layers) + direction
            if values[level]:
                _check_has_matrix(layer.cell, values[level], level)
                layer.weight_dropout = keras.layers.Dropout(
                    values[level], seed=_seed(stack, 2, index), name="weight_dropout"
                )
            if any(checks.per_layer("zoneout", stack.zoneout, 2)):
                layer.zoneout = Zoneout(_state_rates(layer, stack.zoneout, level), _seed(stack, 4, index))
                selection.check(stack.implementation, layer.traits)


def _seed(stack: DeepRNN, block: int, index: int) -> int | None:
    """Return a seed after those of dropout, seed + 1, ..., seed + L; weight dropout takes two blocks of L seeds."""
    return None if stack.seed is None else stack.seed + block * stack.num_layers + index + 1


def _check_has_matrix(cell: Cell, rate: float, level: int) -> None:
    if not recurrent_matrices(cell):
        raise ValueError(
            f"weight_dropout={rate:g} is not supported for layer {level + 1}: its cell {_cell_name(cell)} has no "
            "equations with a recurrent matrix; use variational_dropout, or a list of rates with 0 for this layer"
        )


def _state_rates(layer: SelectsImplementation, value: float | Sequence[float], level: int) -> tuple[float, ...]:
    """Return the zoneout rate of each state of a layer, the output first."""
    recurrence = cell_recurrence(layer.cell)
    refused = f"zoneout={value} is not supported for layer {level + 1}: its cell {_cell_name(layer.cell)}"
    if recurrence is None:
        raise ValueError(f"{refused} has no equations; use 'rnn', 'gru', 'lstm', or another cell with equations")
    if layer.traits.unitwise:
        raise ValueError(
            f"{refused} is computed in parallel over time, which zoneout excludes; use variational_dropout, or a cell "
            "such as 'lstm' or 'gru'"
        )
    states = tuple(recurrence.equations.state_widths())
    if not isinstance(value, Sequence):
        return (value,) * len(states)
    if states != CELL_AND_OUTPUT:
        raise ValueError(f"{refused} has the states {', '.join(states)}, not h and c; pass one rate")
    rate_of_c, rate_of_h = value
    return rate_of_h, rate_of_c


def _cell_name(cell: Cell) -> str:
    return type(getattr(cell, "equations", cell)).__name__
