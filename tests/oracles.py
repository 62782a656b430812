"""Reference implementations in NumPy and float64, with the gate order and weight layout of Keras.

A step function takes the input x (n, d), the states (one array (n, h) each, the output first), the weights (kernel,
recurrent kernel, bias), and the activation f, and returns the new states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Activation = Callable[[np.ndarray], np.ndarray]
States = Sequence[np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


ACTIVATIONS: dict[str | None, Activation] = {
    None: np.tanh,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "sigmoid": sigmoid,
    "linear": lambda x: x,
}


def split_gates(array: np.ndarray, *names: str) -> dict[str, np.ndarray]:
    """Return the blocks of `array` along its last axis, {name: block}."""
    return dict(zip(names, np.split(array, len(names), axis=-1), strict=True))


def rnn_step(x: np.ndarray, states: States, weights: States, f: Activation = np.tanh) -> States:
    """H_t = f(X_t W_xh + H_{t-1} W_hh + b)."""
    (h,) = states
    kernel, recurrent, bias = weights
    return (f(x @ kernel + h @ recurrent + bias),)


def gru_step(
    x: np.ndarray, states: States, weights: States, f: Activation = np.tanh, reset_after: bool = True
) -> States:
    """H_t = update H_{t-1} + (1 - update) candidate.

    The reset gate is applied after the recurrent product (as in cuDNN) or before it (Cho et al. 2014).
    """
    (h,) = states
    names = ("update", "reset", "candidate")
    kernel, recurrent = split_gates(weights[0], *names), split_gates(weights[1], *names)
    input_bias, recurrent_bias = weights[2] if reset_after else (weights[2], np.zeros_like(weights[2]))
    input_bias, recurrent_bias = split_gates(input_bias, *names), split_gates(recurrent_bias, *names)

    def from_input(gate: str) -> np.ndarray:
        return x @ kernel[gate] + input_bias[gate]

    def from_state(gate: str, state: np.ndarray) -> np.ndarray:
        return state @ recurrent[gate] + recurrent_bias[gate]

    update = sigmoid(from_input("update") + from_state("update", h))
    reset = sigmoid(from_input("reset") + from_state("reset", h))
    recurrent_term = reset * from_state("candidate", h) if reset_after else from_state("candidate", reset * h)
    candidate = f(from_input("candidate") + recurrent_term)
    return (update * h + (1.0 - update) * candidate,)


def gru_reset_before_step(x: np.ndarray, states: States, weights: States, f: Activation = np.tanh) -> States:
    return gru_step(x, states, weights, f, reset_after=False)


def lstm_step(x: np.ndarray, states: States, weights: States, f: Activation = np.tanh) -> States:
    """C_t = forget C_{t-1} + input candidate, H_t = output f(C_t)."""
    h, c = states
    kernel, recurrent, bias = weights
    z = split_gates(x @ kernel + h @ recurrent + bias, "input", "forget", "candidate", "output")
    c = sigmoid(z["forget"]) * c + sigmoid(z["input"]) * f(z["candidate"])
    return sigmoid(z["output"]) * f(c), c


STEPS = {"rnn": rnn_step, "gru": gru_step, "gru_reset_before": gru_reset_before_step, "lstm": lstm_step}
NUM_STATES = {"rnn": 1, "gru": 1, "gru_reset_before": 1, "lstm": 2}


def recurrence(
    x: np.ndarray,
    cell: str,
    weights: States,
    units: int,
    states: States | None = None,
    mask: np.ndarray | None = None,
    f: Activation = np.tanh,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the outputs (n, T, h) and final states of one layer for a sequence (n, T, d).

    At a masked step, the states do not change and the output is repeated. Before the first valid step, the output is
    0, regardless of the initial state.
    """
    x = np.asarray(x, "float64")
    n, num_steps = x.shape[:2]
    states = [np.zeros((n, units))] * NUM_STATES[cell] if states is None else states
    mask = np.ones((n, num_steps), bool) if mask is None else np.asarray(mask)
    output, outputs = np.zeros((n, units)), []
    for t in range(num_steps):
        valid = mask[:, t, None]
        new_states = STEPS[cell](np.where(valid, x[:, t], 0.0), states, weights, f)
        states = [np.where(valid, new, old) for new, old in zip(new_states, states, strict=True)]
        output = np.where(valid, new_states[0], output)
        outputs.append(output)
    return np.stack(outputs, axis=1), list(states)


class Result(NamedTuple):
    """Result of a stack.

    Attributes:
        outputs: Outputs of all steps, (n, T, q).
        last: Last output, (n, q).
        states: Final states, one entry per layer.
    """

    outputs: np.ndarray
    last: np.ndarray
    states: list[Any]


def deep_rnn(
    x: np.ndarray,
    weights: Sequence[np.ndarray],
    cells: Sequence[str],
    units: Sequence[int],
    connection: str = "stack",
    bidirectional: bool = False,
    initial_state: Sequence[Any] | None = None,
    mask: np.ndarray | None = None,
    go_backwards: bool = False,
    activations: Sequence[str | None] | None = None,
) -> Result:
    """Return the outputs, last output, and final states of a `DeepRNN`.

    Args:
        x: Inputs, (n, T, d).
        weights: Flat list of weights, in the order of `get_weights()`.
        cells: Name of the cell of each layer.
        units: Width of each layer.
        connection: "stack", "residual", or "skip".
        bidirectional: As in `DeepRNN`.
        initial_state: States of each layer, or None for 0.
        mask: (n, T) of bool.
        go_backwards: As in `DeepRNN`.
        activations: Activation of each layer.
    """
    x = np.asarray(x, "float64")
    mask = np.ones(x.shape[:2], bool) if mask is None else np.asarray(mask)
    if go_backwards:
        x, mask = x[:, ::-1], mask[:, ::-1]
    remaining = iter([np.asarray(w, "float64") for w in weights])
    outputs, lasts, finals = [], [], []
    for index, (cell, h) in enumerate(zip(cells, units, strict=True)):
        f = ACTIVATIONS[activations[index] if activations else None]
        initial_states = _as_list(initial_state[index]) if initial_state is not None else None
        inputs = _layer_input(x, outputs, connection)
        sequences, ends, states = [], [], []
        for direction in (1, -1) if bidirectional else (1,):
            start = initial_states and [initial_states.pop(0) for _ in range(NUM_STATES[cell])]
            layer = next(remaining), next(remaining), next(remaining)
            output, final = recurrence(inputs[:, ::direction], cell, layer, h, start, mask[:, ::direction], f)
            ends.append(output[:, -1])  # masked steps repeat the output, so this is that of the last valid step
            sequences.append(output[:, ::direction])
            states += final
        outputs.append(np.concatenate(sequences, axis=-1))
        lasts.append(np.concatenate(ends, axis=-1))
        finals.append(states if len(states) > 1 else states[0])
    assert next(remaining, None) is None, "more weights than layers"
    result = _combined(outputs, connection)
    return Result(result * mask[:, :, None] if bidirectional else result, _combined(lasts, connection), finals)


def _as_list(states: Any) -> list[np.ndarray]:
    states = list(states) if isinstance(states, (list, tuple)) else [states]
    return [np.asarray(state, "float64") for state in states]


def _layer_input(x: np.ndarray, outputs: list[np.ndarray], connection: str) -> np.ndarray:
    """Return the input of the next layer, given the outputs of the layers below it."""
    if not outputs:
        return x
    if connection == "residual":
        return sum(outputs)
    return np.concatenate([outputs[-1], x], axis=-1) if connection == "skip" else outputs[-1]


def _combined(outputs: list[np.ndarray], connection: str) -> np.ndarray:
    """Return the output of the stack, given the outputs of its layers."""
    if connection == "residual":
        return sum(outputs)
    return np.concatenate(outputs, axis=-1) if connection == "skip" else outputs[-1]


def random_weights(layer: Any, rng: np.random.Generator, scale: float = 0.6) -> list[np.ndarray]:
    """Assign random weights, including biases, to a built Keras layer and return them."""
    weights = [rng.normal(scale=scale, size=w.shape).astype("float32") for w in layer.get_weights()]
    layer.set_weights(weights)
    return weights


def assert_close(actual: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Assert equal structure and shapes, and values that differ by at most `tolerance`, absolute plus relative."""
    if isinstance(expected, (list, tuple)):
        assert isinstance(actual, (list, tuple))
        assert len(actual) == len(expected)
        for actual_part, expected_part in zip(actual, expected, strict=True):
            assert_close(actual_part, expected_part, tolerance)
        return
    actual = np.asarray(actual, "float64")
    assert actual.shape == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)
