"""Fractions of saturated gate values and of dead units in a step-by-step pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from deeprnn_keras._types import Cell, Tensor
from deeprnn_keras.audit.step_by_step import LayerPass
from deeprnn_keras.specs import registered_cell

if TYPE_CHECKING:
    import keras

SIGMOID_LIMITS = (0.03, 0.97)  # the slope there is a ninth of the maximum: 0.03 x 0.97 compared with 0.25
TANH_LIMIT = 0.97  # the slope there is 0.06

GateValues: TypeAlias = "dict[str, tuple[np.ndarray, Callable[[Tensor], Tensor] | None]]"
"""{gate: (values (T, n, h), activation)}."""


def saturation(layer_pass: LayerPass, valid: np.ndarray) -> dict[str, float]:
    """Return {gate: fraction of its values that are saturated}, over all units and all steps that are not masked.

    A sigmoid or hard sigmoid is saturated below 0.03 and above 0.97, a tanh beyond +-0.97; gates with other functions
    are left out. For a layer that is neither LSTM nor GRU, the only entry is "output", present if its activation is one
    of these functions.

    Args:
        layer_pass: Pass of the layer.
        valid: Mask (n, T).
    """
    fractions = {}
    for gate, (values, function) in gate_values(layer_pass).items():
        limits = _saturation_limits(function)
        if limits is not None:
            saturated = (values < limits[0]) | (values > limits[1])
            fractions[gate] = float(np.mean(saturated, where=valid.T[:, :, None]))
    return fractions


def dead_fraction(layer_pass: LayerPass, valid: np.ndarray) -> float:
    """Return the fraction of units whose output is 0 in every row and at every step that is not masked.

    Args:
        layer_pass: Pass of the layer.
        valid: Mask (n, T).
    """
    outputs = np.stack(layer_pass.outputs)[valid.T]
    return float(np.mean((outputs == 0).all(0)))


def candidate_activation(cell: Cell) -> Callable[[Tensor], Tensor] | None:
    """Return the activation of a cell's candidate, or None if it is unknown."""
    return getattr(cell, "functions", {}).get("activation", getattr(cell, "activation", None))


def _saturation_limits(function: Callable[[Tensor], Tensor] | None) -> tuple[float, float] | None:
    import keras

    if function in (keras.activations.sigmoid, keras.activations.hard_sigmoid):
        return SIGMOID_LIMITS
    return (-TANH_LIMIT, TANH_LIMIT) if function is keras.activations.tanh else None


def gate_values(layer_pass: LayerPass) -> GateValues:
    """Return the values and activation of each gate of a layer."""
    import keras

    cell = layer_pass.layer.cell
    if isinstance(cell, keras.layers.LSTMCell):
        return _lstm_gates(cell, np.stack(layer_pass.inputs), _hidden_before(layer_pass))
    if isinstance(cell, keras.layers.GRUCell):
        return _gru_gates(cell, np.stack(layer_pass.inputs), _hidden_before(layer_pass))
    return {"output": (np.stack(layer_pass.outputs), candidate_activation(cell))}


def _hidden_before(layer_pass: LayerPass) -> np.ndarray:
    """Return H_{t-1}, (T, n, h)."""
    return np.stack([layer_pass.initial_states[0], *(states[0] for states in layer_pass.states[:-1])])


def _lstm_gates(cell: keras.layers.LSTMCell, inputs: np.ndarray, hidden_before: np.ndarray) -> GateValues:
    z = inputs @ _to_numpy(cell.kernel) + hidden_before @ _to_numpy(cell.recurrent_kernel)
    z = z + _to_numpy(cell.bias) if cell.use_bias else z
    names = registered_cell("lstm").gates
    blocks = np.split(z, len(names), -1)
    functions = [cell.activation if name == "candidate" else cell.recurrent_activation for name in names]
    return {
        name: (_to_numpy(function(block)), function)
        for name, block, function in zip(names, blocks, functions, strict=True)
    }


def _gru_gates(cell: keras.layers.GRUCell, inputs: np.ndarray, hidden_before: np.ndarray) -> GateValues:
    names = registered_cell("gru").gates

    def blocks(array: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(names, np.split(array, len(names), -1), strict=True))

    bias = _to_numpy(cell.bias) if cell.use_bias else np.zeros(3 * cell.units, "float32")
    input_bias, recurrent_bias = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    x = blocks(inputs @ _to_numpy(cell.kernel) + input_bias)
    h = blocks(hidden_before @ _to_numpy(cell.recurrent_kernel) + recurrent_bias)
    update, reset = (_to_numpy(cell.recurrent_activation(x[name] + h[name])) for name in ("update", "reset"))
    if cell.reset_after:
        recurrent = reset * h["candidate"]
    else:
        recurrent = (reset * hidden_before) @ blocks(_to_numpy(cell.recurrent_kernel))["candidate"]
    candidate = _to_numpy(cell.activation(x["candidate"] + recurrent))
    gate_activation = cell.recurrent_activation
    return {
        "update": (update, gate_activation),
        "reset": (reset, gate_activation),
        "candidate": (candidate, cell.activation),
    }


def _to_numpy(value: Tensor) -> np.ndarray:
    import keras

    return keras.ops.convert_to_numpy(value)
