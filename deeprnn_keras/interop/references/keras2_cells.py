"""Recurrent cells of Keras 2 and tensorflow-addons in NumPy, by their documented equations.

The weights are those of Keras 2 files: gates i, f, c, o of an LSTM and z, r, h of a GRU side by side, and for CuDNN
layers the blocks of NVIDIA's library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from deeprnn_keras._types import Config

Array = np.ndarray
Arrays: TypeAlias = Sequence[np.ndarray]

# === Activations ===


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    """Return the softmax of the last axis."""
    shifted = np.exp(x - x.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "elu": lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
    "exponential": np.exp,
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": _sigmoid,
    "softmax": softmax,
    "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanh": np.tanh,
}


def activation(config: Config, key: str = "activation", default: str = "linear") -> Callable[[Array], Array]:
    """Return an activation of a layer.

    Args:
        config: The configuration of the layer.
        key: The argument.
        default: Its default.

    Raises:
        ValueError: If it is not supported.
    """
    name = config.get(key, default) or "linear"
    if name not in ACTIVATIONS:
        raise ValueError(f"layer {config.get('name')!r}: {key} {name!r} is not supported by the NumPy interpreter")
    return ACTIVATIONS[name]


# === Recurrent cells ===

Step: TypeAlias = Callable[[Array, list[Array]], list[Array]]
"""Function of (x_t, states) that returns the new states, the output first."""

Cell: TypeAlias = Callable[[Config, Arrays], tuple[Step, list[int]]]
"""Function of (configuration, weights) that returns the step and the sizes of the states."""


def _lstm(config: Config, weights: Arrays) -> tuple[Step, list[int]]:
    """Return the step of an LSTM: i, f, o = s(x W + h U + b), c~ = a(...); c' = f c + i c~; h' = o a(c')."""
    kernel, recurrent, *bias = weights
    size = recurrent.shape[0]
    f, a = activation(config, "recurrent_activation", "hard_sigmoid"), activation(config, default="tanh")

    def step(x: Array, states: list[Array]) -> list[Array]:
        h, c = states
        z = x @ kernel + h @ recurrent + (bias[0] if bias else 0)
        i, forget, candidate, o = np.split(z, 4, axis=1)
        c = f(forget) * c + f(i) * a(candidate)
        return [f(o) * a(c), c]

    return step, [size, size]


def _gru(config: Config, weights: Arrays) -> tuple[Step, list[int]]:
    """Return the step of a GRU: z, r = s(x W + h U + b); h' = z h + (1 - z) c.

    c = a(x W + (r h) U + b) or, with `reset_after`, a(x W + b + r (h U + b))
    """
    kernel, recurrent, *bias = weights
    size = recurrent.shape[0]
    f, a = activation(config, "recurrent_activation", "hard_sigmoid"), activation(config, default="tanh")
    after = bool(config.get("reset_after", False))
    both = np.zeros((2, 3 * size)) if not bias else bias[0] if bias[0].ndim == 2 else np.stack([bias[0], 0 * bias[0]])

    def step(x: Array, states: list[Array]) -> list[Array]:
        (h,) = states
        inner = x @ kernel + both[0]
        gates = f(inner[:, : 2 * size] + h @ recurrent[:, : 2 * size] + both[1, : 2 * size])
        z, r = gates[:, :size], gates[:, size:]
        kernel_c = recurrent[:, 2 * size :]
        outer = r * (h @ kernel_c + both[1, 2 * size :]) if after else (r * h) @ kernel_c
        return [z * h + (1 - z) * a(inner[:, 2 * size :] + outer)]

    return step, [size]


def _rnn(config: Config, weights: Arrays) -> tuple[Step, list[int]]:
    """Return the step of a simple RNN: h' = a(x W + h U + b)."""
    kernel, recurrent, *bias = weights
    a = activation(config, default="tanh")
    return lambda x, states: [a(x @ kernel + states[0] @ recurrent + (bias[0] if bias else 0))], [len(recurrent)]


def _cudnn(gates: int, cell: Cell) -> Cell:
    """Return the cell of a CuDNN layer, in which each block of a kernel is a row-major matrix (h, inputs)."""

    def make(config: Config, weights: Arrays) -> tuple[Step, list[int]]:
        kernel, recurrent, bias = weights
        size = recurrent.shape[0]
        matrices = [
            np.concatenate([one.ravel().reshape(size, -1).T for one in np.split(array, gates, axis=1)], axis=1)
            for array in (kernel, recurrent)
        ]
        both = bias.reshape(2, -1)
        options = {**config, "activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True}
        return cell(options, [*matrices, both if gates == 3 else both.sum(0)])

    return make


def _peephole(config: Config, weights: Arrays) -> tuple[Step, list[int]]:
    """Return the step of an LSTM with peepholes p of tensorflow-addons.

    i, f = s(x W + h U + b + p c);  c' = f c + i a(...);  o = s(x W_o + h U_o + b_o + p_o c');  h' = o a(c')
    """
    kernel, recurrent, *bias, p_i, p_f, p_o = weights
    size = recurrent.shape[0]
    f, a = activation(config, "recurrent_activation", "sigmoid"), activation(config, default="tanh")

    def step(x: Array, states: list[Array]) -> list[Array]:
        h, c = states
        i, forget, candidate, o = np.split(x @ kernel + h @ recurrent + (bias[0] if bias else 0), 4, axis=1)
        c = f(forget + p_f * c) * c + f(i + p_i * c) * a(candidate)
        return [f(o + p_o * c) * a(c), c]

    return step, [size, size]


def _layer_norm(config: Config, weights: Arrays) -> tuple[Step, list[int]]:
    """Return the step of the LSTM with layer normalization of tensorflow-addons, whose state is normalized.

    z = N(x W) + N(h U) + b, where each N has a gain and an offset;  c' = N(f c + i c~);  h' = o a(c')
    """
    kernel, recurrent, *bias = weights[:-6]
    norms = list(zip(weights[-6::2], weights[-5::2], strict=True))
    size, epsilon = recurrent.shape[0], config.get("norm_epsilon", 1e-3)
    f, a = activation(config, "recurrent_activation", "sigmoid"), activation(config, default="tanh")

    def norm(z: Array, gain: Array, offset: Array) -> Array:
        return (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + epsilon) * gain + offset

    def step(x: Array, states: list[Array]) -> list[Array]:
        h, c = states
        z = norm(x @ kernel, *norms[0]) + norm(h @ recurrent, *norms[1]) + (bias[0] if bias else 0)
        i, forget, candidate, o = np.split(z, 4, axis=1)
        c = norm(f(forget) * c + f(i) * a(candidate), *norms[2])
        return [f(o) * a(c), c]

    return step, [size, size]


def _stacked_cells(config: Config, weights: Arrays) -> tuple[Step, list[int]]:
    """Cells one above the other in one step; their states are concatenated."""
    steps, sizes, position = [], [], 0
    for cell in config["cells"]:
        count = 2 + bool(cell["config"].get("use_bias", True)) + EXTRA.get(_name(cell), 0)
        steps.append(cell_of(cell)(cell["config"], weights[position : position + count]))
        sizes += steps[-1][1]
        position += count

    def step(x: Array, states: list[Array]) -> list[Array]:
        new: list[Array] = []
        for run, widths in steps:
            after = run(x, states[len(new) : len(new) + len(widths)])
            x = after[0]
            new += after
        return [x, *new]

    return step, sizes


CELLS: dict[str, Cell] = {
    "Addons>LayerNormLSTMCell": _layer_norm,
    "Addons>PeepholeLSTMCell": _peephole,
    "CuDNNGRU": _cudnn(3, _gru),
    "CuDNNLSTM": _cudnn(4, _lstm),
    "GRU": _gru,
    "GRUCell": _gru,
    "LSTM": _lstm,
    "LSTMCell": _lstm,
    "PeepholeLSTMCell": _peephole,
    "SimpleRNN": _rnn,
    "SimpleRNNCell": _rnn,
    "StackedRNNCells": _stacked_cells,
}
EXTRA = {"Addons>LayerNormLSTMCell": 6, "Addons>PeepholeLSTMCell": 3, "PeepholeLSTMCell": 3}
"""{cell: number of its arrays besides kernel, recurrent kernel, and bias}."""


def cell_of(layer: Config) -> Cell:
    """Return the cell with the class of a configuration.

    Raises:
        ValueError: If it is not supported.
    """
    if _name(layer) not in CELLS:
        raise ValueError(f"cell {_name(layer)!r} is not supported by the NumPy interpreter")
    return CELLS[_name(layer)]


def _name(layer: Config) -> str:
    """Return the name of a class; `.keras` files store that of a registered one apart."""
    return str(layer.get("registered_name") or layer["class_name"])
