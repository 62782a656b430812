"""Plain NumPy references in float64: the equations written out, with Keras' gate order and weight layout.

A step takes x (n, d), the states (one array (n, h) each, the output first), the weights (kernel, recurrent kernel,
bias) and the activation f, and returns the new states.
"""

from collections import namedtuple

import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


ACTIVATIONS = {
    None: np.tanh,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "sigmoid": sigmoid,
    "linear": lambda x: x,
}


def gates(array, *names):
    """The blocks of `array` along its last axis, by name."""
    return dict(zip(names, np.split(array, len(names), axis=-1), strict=True))


def rnn_step(x, states, weights, f=np.tanh):
    """H_t = f(X_t W_xh + H_{t-1} W_hh + b)."""
    (h,) = states
    kernel, recurrent, bias = weights
    return (f(x @ kernel + h @ recurrent + bias),)


def gru_step(x, states, weights, f=np.tanh, reset_after=True):
    """The update gate keeps; the reset gate acts after (cuDNN) or before (Cho et al. 2014) the recurrent product."""
    (h,) = states
    names = ("update", "reset", "candidate")
    kernel, recurrent = gates(weights[0], *names), gates(weights[1], *names)
    input_bias, recurrent_bias = weights[2] if reset_after else (weights[2], np.zeros_like(weights[2]))
    input_bias, recurrent_bias = gates(input_bias, *names), gates(recurrent_bias, *names)

    def from_input(gate):
        return x @ kernel[gate] + input_bias[gate]

    def from_state(gate, state):
        return state @ recurrent[gate] + recurrent_bias[gate]

    update = sigmoid(from_input("update") + from_state("update", h))
    reset = sigmoid(from_input("reset") + from_state("reset", h))
    remembered = reset * from_state("candidate", h) if reset_after else from_state("candidate", reset * h)
    candidate = f(from_input("candidate") + remembered)
    return (update * h + (1.0 - update) * candidate,)


def gru_reset_before_step(x, states, weights, f=np.tanh):
    return gru_step(x, states, weights, f, reset_after=False)


def lstm_step(x, states, weights, f=np.tanh):
    """C_t = forget C_{t-1} + input candidate, H_t = output f(C_t)."""
    h, c = states
    kernel, recurrent, bias = weights
    z = gates(x @ kernel + h @ recurrent + bias, "input", "forget", "candidate", "output")
    c = sigmoid(z["forget"]) * c + sigmoid(z["input"]) * f(z["candidate"])
    return sigmoid(z["output"]) * f(c), c


STEPS = {"rnn": rnn_step, "gru": gru_step, "gru_reset_before": gru_reset_before_step, "lstm": lstm_step}
NUM_STATES = {"rnn": 1, "gru": 1, "gru_reset_before": 1, "lstm": 2}


def recurrence(x, cell, weights, units, states=None, mask=None, f=np.tanh):
    """A whole sequence (n, T, d) -> outputs (n, T, h), final states.

    At a masked step the states stay and the output repeats; before the first valid step the output is 0, whatever
    the initial state.
    """
    x = np.asarray(x, "float64")
    n, steps = x.shape[:2]
    states = [np.zeros((n, units))] * NUM_STATES[cell] if states is None else states
    mask = np.ones((n, steps), bool) if mask is None else np.asarray(mask)
    output, outputs = np.zeros((n, units)), []
    for t in range(steps):
        valid = mask[:, t, None]
        new = STEPS[cell](np.where(valid, x[:, t], 0.0), states, weights, f)
        states = [np.where(valid, after, before) for after, before in zip(new, states, strict=True)]
        output = np.where(valid, new[0], output)
        outputs.append(output)
    return np.stack(outputs, axis=1), list(states)


Result = namedtuple("Result", "outputs last states")


def deep_rnn(
    x,
    weights,
    cells,
    units,
    connection="stack",
    bidirectional=False,
    initial_state=None,
    mask=None,
    go_backwards=False,
    activations=None,
):
    """`DeepRNN` -> outputs (n, T, q), last output (n, q), final states with one entry per layer.

    `weights` is flat as in `get_weights()`; `cells`, `units` and `activations` have one entry per layer.
    """
    x = np.asarray(x, "float64")
    mask = np.ones(x.shape[:2], bool) if mask is None else np.asarray(mask)
    if go_backwards:
        x, mask = x[:, ::-1], mask[:, ::-1]
    flat = iter([np.asarray(w, "float64") for w in weights])
    outputs, lasts, finals = [], [], []
    for index, (cell, h) in enumerate(zip(cells, units, strict=True)):
        f = ACTIVATIONS[activations[index] if activations else None]
        given = _flat(initial_state[index]) if initial_state is not None else None
        read = _read(x, outputs, connection)
        sequences, ends, states = [], [], []
        for direction in (1, -1) if bidirectional else (1,):
            start = given and [given.pop(0) for _ in range(NUM_STATES[cell])]
            layer = next(flat), next(flat), next(flat)
            output, final = recurrence(read[:, ::direction], cell, layer, h, start, mask[:, ::direction], f)
            ends.append(output[:, -1])  # repeated at masked steps, so this is the last valid one read
            sequences.append(output[:, ::direction])
            states += final
        outputs.append(np.concatenate(sequences, axis=-1))
        lasts.append(np.concatenate(ends, axis=-1))
        finals.append(states if len(states) > 1 else states[0])
    assert next(flat, None) is None, "more weights than layers"
    result = _top(outputs, connection)
    return Result(result * mask[:, :, None] if bidirectional else result, _top(lasts, connection), finals)


def _flat(entry):
    entries = list(entry) if isinstance(entry, (list, tuple)) else [entry]
    return [np.asarray(state, "float64") for state in entries]


def _read(x, outputs, connection):
    """What the next layer reads, given the outputs of those below."""
    if not outputs:
        return x
    if connection == "residual":
        return sum(outputs)
    return np.concatenate([outputs[-1], x], axis=-1) if connection == "skip" else outputs[-1]


def _top(outputs, connection):
    if connection == "residual":
        return sum(outputs)
    return np.concatenate(outputs, axis=-1) if connection == "skip" else outputs[-1]


def random_weights(layer, rng, scale=0.6):
    """Gives a built Keras layer random weights, biases too, and returns them."""
    weights = [rng.normal(scale=scale, size=w.shape).astype("float32") for w in layer.get_weights()]
    layer.set_weights(weights)
    return weights


def assert_close(got, wanted, tolerance=1e-5):
    """Equal structure, shapes and values."""
    if isinstance(wanted, (list, tuple)):
        assert isinstance(got, (list, tuple))
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            assert_close(one, other, tolerance)
        return
    got = np.asarray(got, "float64")
    assert got.shape == np.shape(wanted)
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
