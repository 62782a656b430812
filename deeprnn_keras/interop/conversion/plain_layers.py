"""Recurrent layers of Keras as levels of a `DeepRNN`: which are equal to levels, and the arguments of the stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from deeprnn_keras._types import Activation, Cell, CellSpec, Config, Layer
from deeprnn_keras.cells.keras_cells import cell_name
from deeprnn_keras.interop.conversion.substitution import KeptError, cells, directions
from deeprnn_keras.layers import DeepRNN
from deeprnn_keras.layers.recurrent_layer import WEIGHT_ROLES

PLAIN_CLASSES = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN, keras.layers.RNN)
OBJECTS = tuple(f"{role}_{kind}" for kind in ("regularizer", "constraint") for role in WEIGHT_ROLES)
"""Arguments of a `DeepRNN` that all its levels share."""

NOT_COMPARED = ("name", "seed", "initializer", "implementation")
"""Ends of the names of arguments that do not change what a cell computes."""

WITHOUT_COUNTERPART = {
    "stateful": "stateful=True: Keras carries one state for training and evaluation, and a DeepRNN carries two",
    "unroll": "unroll=True",
    "zero_output_for_mask": "zero_output_for_mask=True",
}
"""{argument of a Keras layer that a level of a `DeepRNN` does not have: reason}."""


@dataclass(frozen=True)
class Level:
    """Arguments of one level of a `DeepRNN`.

    Attributes:
        units: h.
        cell: As in `DeepRNN`.
        config: Configuration of the cell without names, seeds, and initializers; levels are equal if these are.
        activation: As in `DeepRNN`.
        recurrent_activation: As in `DeepRNN`.
    """

    units: int
    cell: CellSpec
    config: Config
    activation: Activation = field(default=None, compare=False)
    recurrent_activation: Activation = field(default=None, compare=False)


@dataclass(frozen=True)
class Levels:
    """Levels of a `DeepRNN` that compute what one layer of Keras computes.

    Attributes:
        levels: The levels, lowest first: several for `StackedRNNCells`.
        shared: Settings that all levels of a `DeepRNN` have in common, as values that are comparable.
    """

    levels: tuple[Level, ...]
    shared: Config


def describe(layer: Layer) -> Levels:
    """Return the levels of a `DeepRNN` that compute what a layer computes.

    Raises:
        KeptError: If there are none; the message states the reason.
    """
    for one in directions(layer):
        _check_layer(one, is_direction=one is not layer)
    described = [_describe_one(layer, one) for one in directions(layer)]
    if any(one != described[0] for one in described):
        raise KeptError("its forward and backward layers have different arguments")
    if isinstance(layer, keras.layers.Bidirectional):
        _check_bidirectional(layer)
    return described[0]


def _check_bidirectional(layer: keras.layers.Bidirectional) -> None:
    if layer.merge_mode != "concat":
        raise KeptError(f"merge_mode={layer.merge_mode!r}: a bidirectional DeepRNN concatenates")
    if layer.forward_layer.go_backwards:
        raise KeptError("its forward layer has go_backwards=True")
    if layer.compute_dtype != layer.forward_layer.compute_dtype:
        raise KeptError(f"it returns {layer.compute_dtype}, and its layers {layer.forward_layer.compute_dtype}")


def _check_layer(layer: keras.layers.RNN, is_direction: bool) -> None:
    """Raise a KeptError if a layer, or a direction of a `Bidirectional`, has arguments that a level does not have."""
    if type(layer) not in PLAIN_CLASSES:
        raise KeptError(f"its class {type(layer).__name__} is not one of keras.layers")
    for cell in cells(layer):
        _check_cell(cell)
    if is_direction:
        if layer.activity_regularizer is not None or isinstance(layer.cell, keras.layers.StackedRNNCells):
            raise KeptError("a direction of it has an activity_regularizer or stacked cells")
    elif layer.go_backwards:
        raise KeptError("go_backwards=True: Keras does not reverse the mask that the next layer reads")
    for name, reason in WITHOUT_COUNTERPART.items():
        # `Bidirectional` sets the last one, and so does a bidirectional `DeepRNN`
        if getattr(layer, name) and not (is_direction and name == "zero_output_for_mask"):
            raise KeptError(reason)
    if getattr(layer, "use_cudnn", "auto") != "auto":
        raise KeptError(f"use_cudnn={layer.use_cudnn}")  # pyright: ignore[reportAttributeAccessIssue] - LSTM and GRU


def _check_cell(cell: Cell) -> None:
    if cell_name(cell) is None:
        raise KeptError(f"its cell {type(cell).__name__} is not one of keras.layers")
    if cell.dropout:
        raise KeptError(f"dropout={cell.dropout:g}: Keras uses one mask for all steps, and a DeepRNN one for each")
    if cell.recurrent_dropout:
        raise KeptError(f"recurrent_dropout={cell.recurrent_dropout:g}")


def _describe_one(layer: Layer, one: keras.layers.RNN) -> Levels:
    shared = [_shared(layer, one, cell) for cell in cells(one)]
    if any(settings != shared[0] for settings in shared):
        raise KeptError("its cells have different arguments that all levels of a DeepRNN share")
    return Levels(tuple(_level(cell) for cell in cells(one)), shared[0])


def _shared(layer: Layer, one: keras.layers.RNN, cell: Cell) -> Config:
    config = cell.get_config()
    trainable = {part.trainable for part in (layer, one, cell)}
    if len(trainable) > 1:
        raise KeptError("it is partly frozen")
    return {
        **{name: config[name] for name in ("use_bias", *OBJECTS)},
        "trainable": trainable.pop(),
        "bidirectional": one is not layer,
        "dtype": keras.dtype_policies.serialize(one.dtype_policy),
    }


def _level(cell: Cell) -> Level:
    name = cell_name(cell)
    spec: CellSpec = {"name": "gru", "reset_after": False} if name == "gru" and not cell.reset_after else str(name)
    gates = getattr(cell, "recurrent_activation", keras.activations.sigmoid)
    return Level(
        cell.units,
        spec,
        {key: value for key, value in cell.get_config().items() if not key.endswith(NOT_COMPARED)},
        None if cell.activation is keras.activations.tanh else cell.activation,
        None if gates is keras.activations.sigmoid else gates,
    )


def make_deep_rnn(layers: Sequence[Layer], dropout: float = 0.0) -> DeepRNN:
    """Return a `DeepRNN` in place of layers, each of which reads the output of the one before.

    It has the name of the highest layer, since Keras identifies outputs of a model by this name.

    Args:
        layers: Layers that `describe` accepts, with equal `Levels.shared`, lowest first.
        dropout: Dropout rate between them.
    """
    described = [describe(layer) for layer in layers]
    levels = [level for one in described for level in one.levels]
    top, shared = directions(layers[-1])[0], described[0].shared
    cell = cells(top)[0]
    per_level: dict[str, list[Any]] = {
        "cell": [level.cell for level in levels],
        "activation": [level.activation for level in levels],
        "recurrent_activation": [level.recurrent_activation for level in levels],
    }
    return DeepRNN(
        [level.units for level in levels],
        **{name: values[0] if _all_equal(values) else values for name, values in per_level.items()},
        bidirectional=shared["bidirectional"],
        dropout=dropout,
        use_bias=shared["use_bias"],
        **{name: getattr(cell, name) for name in OBJECTS},
        activity_regularizer=layers[-1].activity_regularizer,
        return_sequences=top.return_sequences,
        return_state=top.return_state,
        dtype=top.dtype_policy,
        trainable=shared["trainable"],
        name=layers[-1].name,
    )


def _all_equal(values: Sequence[Any]) -> bool:
    return all(value == values[0] for value in values)
