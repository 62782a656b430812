"""Weights of a Keras model that can receive those of PyTorch modules, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import keras

from deeprnn_keras._types import Cell, Layer
from deeprnn_keras.cells import ProjectedLSTMCell
from deeprnn_keras.cells.keras_cells import cell_name, cell_recurrence
from deeprnn_keras.interop.assignment import Target
from deeprnn_keras.interop.torch_names import PROJECTED, TITLES
from deeprnn_keras.interop.torch_weights import RecurrenceTarget
from deeprnn_keras.layers import DeepRNN
from deeprnn_keras.layers.tied_head import TiedHead

RECURRENT_LAYERS = (DeepRNN, keras.layers.RNN, keras.layers.Bidirectional)
# {class of a Keras layer: {leaf in a state dict: attribute of the layer}}
PLAIN_LAYERS: dict[type[Any], dict[str, str]] = {
    keras.layers.Embedding: {"weight": "embeddings"},
    keras.layers.Dense: {"weight": "kernel", "bias": "bias"},
    TiedHead: {"bias": "bias"},
    keras.layers.Conv1D: {"weight": "kernel", "bias": "bias"},
    keras.layers.LayerNormalization: {"weight": "gamma", "bias": "beta"},
    keras.layers.BatchNormalization: {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    },
}
TRANSPOSED = (keras.layers.Dense, keras.layers.Conv1D)  # the axes of their kernels are in reverse order


@dataclass(frozen=True)
class RecurrentTarget:
    """A recurrent layer.

    Attributes:
        layer: The layer.
        levels: For each layer inside it and each direction, its weights.
    """

    layer: Layer
    levels: tuple[tuple[RecurrenceTarget, ...], ...]


@dataclass(frozen=True)
class PlainTarget:
    """A layer that is not recurrent.

    Attributes:
        layer: The layer.
        weights: {leaf in a state dict: weight}.
    """

    layer: Layer
    weights: Mapping[str, Target]

    @property
    def is_transposed(self) -> bool:
        """True if the axes of its kernel are in reverse order."""
        return isinstance(self.layer, TRANSPOSED)


def weight_layers(layer: Layer) -> Iterator[Layer]:
    """Yield the layers inside a layer, or itself, that have weights of their own, in the order of the model."""
    if isinstance(layer, (*RECURRENT_LAYERS, *PLAIN_LAYERS)):
        yield layer
        return
    if isinstance(layer, keras.layers.Wrapper):
        yield from weight_layers(layer.layer)
        return
    inside = _layers_inside(layer)
    if not inside and layer.weights:
        yield layer
    for one in inside:
        yield from weight_layers(one)


def _layers_inside(layer: Layer) -> list[Layer]:
    if isinstance(layer, keras.Model):
        return list(layer.layers)
    return list(getattr(layer, "dense_layers", ()))  # of DeepInput and DeepOutput


def recurrent_target(layer: Layer) -> RecurrentTarget:
    """Return the weights of a built recurrent layer.

    Raises:
        ValueError: If it has a cell other than (projected) LSTM, GRU with `reset_after=True`, and SimpleRNN.
    """
    levels = tuple(tuple(_recurrence_target(layer, cell) for cell in level) for level in cells_of(layer))
    return RecurrentTarget(layer, levels)


def cells_of(layer: Layer) -> list[list[Cell]]:
    """Return the cells of a recurrent layer: for each layer inside it, one per direction."""
    if isinstance(layer, DeepRNN):
        return [[one.cell for one in level] for level in layer.levels]
    if isinstance(layer, keras.layers.Bidirectional):
        both = zip(_stacked(layer.forward_layer), _stacked(layer.backward_layer), strict=True)
        return [list(directions) for directions in both]
    return [[cell] for cell in _stacked(layer)]


def _stacked(layer: Any) -> list[Cell]:  # noqa: ANN401 - recurrent layers
    return list(layer.cell.cells) if isinstance(layer.cell, keras.layers.StackedRNNCells) else [layer.cell]


def _recurrence_target(layer: Layer, cell: Cell) -> RecurrenceTarget:
    reason = pytorch_refusal(cell)
    if reason is not None:
        raise ValueError(f"layer {layer.name!r}: {reason}")
    name = cast("str", pytorch_cell(cell))  # `pytorch_refusal` rejects None
    weights = {key: _target(variable) for key, variable in cell_weights(cell).items()}
    optional = weights.get("bias"), weights.get("projection_kernel")
    return RecurrenceTarget(name, cell.units, weights["kernel"], weights["recurrent_kernel"], *optional)


def pytorch_cell(cell: Cell) -> str | None:
    """Return the name of a cell that PyTorch has: "rnn", "gru", "lstm", or "projected_lstm"; None for any other."""
    return PROJECTED if isinstance(cell, ProjectedLSTMCell) else cell_name(cell)


def cell_weights(cell: Cell) -> dict[str, keras.Variable]:
    """Return the variables of a cell by name."""
    return {variable.name: variable for variable in cell.weights}


def pytorch_refusal(cell: Cell) -> str | None:
    """Return why PyTorch has no module with the equations of a cell, or None if it has one."""
    name, recurrence = pytorch_cell(cell), cell_recurrence(cell)
    if name is None or recurrence is None:
        return f"PyTorch has no module for its cell {type(cell).__name__}"
    if name == "gru" and not cell.reset_after:
        return (
            "a GRU with reset_after=False is not supported, because PyTorch's GRU resets after the matrix product; use "
            "reset_after=True"
        )
    functions = {"activation": ("tanh", "relu") if name == "rnn" else ("tanh",), "recurrent_activation": ("sigmoid",)}
    for argument, function in recurrence.activations:
        supported = functions[argument]
        if function not in supported:
            received = function if isinstance(function, str) else repr(function)
            return f"{argument} must be {' or '.join(supported)} as in PyTorch's {TITLES[name]}, got {received}"
    if name == PROJECTED and cell.output_size == cell.units:
        return f"projection must be below units = {cell.units} as proj_size in PyTorch, got {cell.output_size}"
    return None


def plain_target(layer: Layer) -> PlainTarget | None:
    """Return the weights of a layer that is not recurrent, or None if it has no counterpart in PyTorch."""
    for kind, attributes in PLAIN_LAYERS.items():
        if isinstance(layer, kind):
            found = {leaf: getattr(layer, name, None) for leaf, name in attributes.items()}
            return PlainTarget(layer, {leaf: _target(one) for leaf, one in found.items() if one is not None})
    return None


def _target(variable: keras.Variable) -> Target:
    return Target(variable.path, tuple(variable.shape), variable)
