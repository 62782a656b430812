"""Reference for `sequences.py` in NumPy and float64: a layer over sequences, and the gradients of all its inputs.

At a masked step, the states do not change, and the output is that of the state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from oracles import sigmoid

from deeprnn_keras.kernels.native.sequences import Gradients, Inputs, Layer

Array = np.ndarray

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
}
DERIVATIVES: dict[str, Callable[[Array], Array]] = {  # as functions of the value of the activation
    "tanh": lambda y: 1 - y * y,
    "sigmoid": lambda y: y * (1 - y),
    "relu": lambda y: (y > 0) * 1.0,
    "linear": np.ones_like,
    "hard_sigmoid": lambda y: ((y > 0) & (y < 1)) / 6,
}


class Weights(NamedTuple):
    """W, U, b; a bias of zeros without bias."""

    W: Array
    U: Array
    b: Array


class Step(NamedTuple):
    """Gradients of one step: of the products with x and h, of W, U, and b without those of the products, and of h, c.

    Attributes:
        x: Gradient of x W, (n, G h).
        h: Gradient of the previous output.
        c: Gradient of the previous cell state.
        U: Gradient of U.
        b: Gradient of b.
    """

    x: Array
    h: Array
    c: Array | None
    U: Array
    b: Array


class Cell:
    """One step and its gradients; the gates of a step are whatever `step` returns beside the states."""

    def __init__(self, layer: Layer, weights: Weights) -> None:
        self.weights, self.h = weights, weights.U.shape[0]
        self.f, self.df = FUNCTIONS[layer.activation], DERIVATIVES[layer.activation]
        self.s, self.ds = FUNCTIONS[layer.recurrent_activation], DERIVATIVES[layer.recurrent_activation]

    def split(self, z: Array) -> list[Array]:
        return np.split(z, z.shape[-1] // self.h, axis=-1)


class RNN(Cell):
    def step(self, x: Array, states: list[Array]) -> tuple[list[Array], Any]:
        W, U, b = self.weights
        h = self.f(x @ W + states[0] @ U + b)
        return [h], h

    def gradient(self, states: list[Array], h: Any, d_states: list[Array]) -> Step:
        dz = d_states[0] * self.df(h)
        return Step(dz, dz @ self.weights.U.T, None, states[0].T @ dz, dz.sum(0))


class LSTM(Cell):
    def step(self, x: Array, states: list[Array]) -> tuple[list[Array], Any]:
        W, U, b = self.weights
        i, f, g, o = self.split(x @ W + states[0] @ U + b)
        i, f, g, o = self.s(i), self.s(f), self.f(g), self.s(o)
        c = f * states[1] + i * g
        return [o * self.f(c), c], (i, f, g, o, self.f(c))

    def gradient(self, states: list[Array], gates: Any, d_states: list[Array]) -> Step:
        (h, c), (i, f, g, o, squashed), (dh, dc) = states, gates, d_states
        dc = dc + dh * o * self.df(squashed)
        d_gates = dc * g * self.ds(i), dc * c * self.ds(f), dc * i * self.df(g), dh * squashed * self.ds(o)
        dz = np.concatenate(d_gates, 1)
        return Step(dz, dz @ self.weights.U.T, dc * f, h.T @ dz, dz.sum(0))


class GRU(Cell):
    def step(self, x: Array, states: list[Array]) -> tuple[list[Array], Any]:
        W, U, b = self.weights
        (h,) = states
        (zx, rx, gx), (zh, rh, gh) = self.split(x @ W + b[0]), self.split(h @ U + b[1])
        z, r = self.s(zx + zh), self.s(rx + rh)
        g = self.f(gx + r * gh)
        return [z * h + (1 - z) * g], (z, r, g, gh)

    def gradient(self, states: list[Array], gates: Any, d_states: list[Array]) -> Step:
        (h,), (z, r, g, gh), (dh,) = states, gates, d_states
        d_z, d_g = dh * (h - g) * self.ds(z), dh * (1 - z) * self.df(g)
        d_r = d_g * gh * self.ds(r)
        dx, d_product = np.concatenate([d_z, d_r, d_g], 1), np.concatenate([d_z, d_r, d_g * r], 1)
        db = np.stack([dx.sum(0), d_product.sum(0)])
        return Step(dx, dh * z + d_product @ self.weights.U.T, None, h.T @ d_product, db)


class GRUResetBefore(Cell):
    def step(self, x: Array, states: list[Array]) -> tuple[list[Array], Any]:
        W, U, b = self.weights
        (h,), (U_z, U_r, U_g) = states, self.split(U)
        zx, rx, gx = self.split(x @ W + b)
        z, r = self.s(zx + h @ U_z), self.s(rx + h @ U_r)
        g = self.f(gx + (r * h) @ U_g)
        return [z * h + (1 - z) * g], (z, r, g)

    def gradient(self, states: list[Array], gates: Any, d_states: list[Array]) -> Step:
        (h,), (z, r, g), (dh,), (U_z, U_r, U_g) = states, gates, d_states, self.split(self.weights.U)
        d_z, d_g = dh * (h - g) * self.ds(z), dh * (1 - z) * self.df(g)
        d_reset_h = d_g @ U_g.T
        d_r = d_reset_h * h * self.ds(r)
        dz = np.concatenate([d_z, d_r, d_g], 1)
        dU = np.concatenate([h.T @ d_z, h.T @ d_r, (r * h).T @ d_g], 1)
        return Step(dz, dh * z + d_reset_h * r + d_z @ U_z.T + d_r @ U_r.T, None, dU, dz.sum(0))


CELLS = {"rnn": RNN, "gru": GRU, "gru_reset_before": GRUResetBefore, "lstm": LSTM}


def _prepare(layer: Layer, inputs: Inputs) -> tuple[Cell, Array, list[Array], Array]:
    """Return the cell, x with 0 at masked steps, the states, and the mask."""
    W, U = inputs.kernel.astype("float64"), inputs.recurrent_kernel.astype("float64")
    zeros = np.zeros((2, W.shape[1]) if layer.cell == "gru" else W.shape[1])
    bias = zeros if inputs.bias is None else inputs.bias.astype("float64")
    mask = np.ones(inputs.x.shape[:2], bool) if inputs.mask is None else inputs.mask
    x = np.where(mask[:, :, None], inputs.x.astype("float64"), 0)
    return CELLS[layer.cell](layer, Weights(W, U, bias)), x, [s.astype("float64") for s in inputs.states], mask


def _reading_order(layer: Layer, steps: int) -> list[int]:
    return list(range(steps))[:: -1 if layer.reverse else 1]


def forward(layer: Layer, inputs: Inputs) -> tuple[Array, list[Array], list[Any]]:
    """Return the outputs (n, T, h), the final states, and (states, gates) before and in each step in reading order."""
    cell, x, states, mask = _prepare(layer, inputs)
    y, history = np.zeros((*x.shape[:2], cell.h)), []
    for t in _reading_order(layer, x.shape[1]):
        new, gates = cell.step(x[:, t], states)
        history.append((states, gates))
        states = [np.where(mask[:, t, None], one, other) for one, other in zip(new, states, strict=True)]
        y[:, t] = states[0]
    return y, states, history


def backward(layer: Layer, inputs: Inputs, d_y: Array | None, d_states: list[Array]) -> Gradients:
    """Return the gradients of all inputs."""
    cell, x, _, mask = _prepare(layer, inputs)
    W, U, b = cell.weights
    dx, dW, dU, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
    d_states = [d_state.astype("float64") for d_state in d_states]
    history = forward(layer, inputs)[2]
    for t, (states, gates) in reversed(list(zip(_reading_order(layer, x.shape[1]), history, strict=True))):
        valid = mask[:, t, None]
        if d_y is not None:
            d_states = [d_states[0] + d_y[:, t], *d_states[1:]]
        step = cell.gradient(states, gates, [np.where(valid, d_state, 0) for d_state in d_states])
        dx[:, t] = step.x @ W.T
        dW, dU, db = dW + x[:, t].T @ step.x, dU + step.U, db + step.b
        new = [step.h] if step.c is None else [step.h, step.c]
        d_states = [np.where(valid, one, other) for one, other in zip(new, d_states, strict=True)]
    return Gradients(dx, dW, dU, None if inputs.bias is None else db, d_states)
