"""Reference implementations in NumPy and float64 of the cells with depth inside the step.

A step function takes the input x (n, d), the states, the weights by name, and the activations a, s, and g (the last for
the hidden layers of the gates), and returns the new states. Blocks of columns are addressed by their position,
independently of the names in the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from oracles import sigmoid

Activation = Callable[[np.ndarray], np.ndarray]
Weights = Mapping[str, np.ndarray]
States = Sequence[np.ndarray]


def block(matrix: np.ndarray, index: int, count: int) -> np.ndarray:
    """Return block `index` of `count` equal blocks along the last axis."""
    width = matrix.shape[-1] // count
    return matrix[..., index * width : (index + 1) * width]


def perceptron(x: np.ndarray, h: np.ndarray, w: Weights, gate: int, gates: int, g: Activation) -> np.ndarray:
    """Return the pre-activation of gate `gate` of `gates`, a multilayer perceptron of (x, h)."""
    z = x @ block(w["kernel"], gate, gates) + h @ block(w["recurrent_kernel"], gate, gates)
    z = z + block(w["bias"], gate, gates)
    layer = 1
    while f"gate_kernel_{layer}" in w:
        z = g(z) @ block(w[f"gate_kernel_{layer}"], gate, gates) + block(w[f"gate_bias_{layer}"], gate, gates)
        layer += 1
    return z


def mlp_gate_rnn(
    x: np.ndarray,
    states: States,
    w: Weights,
    a: Activation = np.tanh,
    s: Activation = sigmoid,
    g: Activation = np.tanh,
) -> States:
    return [a(perceptron(x, states[0], w, 0, 1, g))]


def mlp_gate_gru(
    x: np.ndarray,
    states: States,
    w: Weights,
    a: Activation = np.tanh,
    s: Activation = sigmoid,
    g: Activation = np.tanh,
) -> States:
    (h,) = states
    update, reset = s(perceptron(x, h, w, 0, 3, g)), s(perceptron(x, h, w, 1, 3, g))
    candidate = a(perceptron(x, reset * h, w, 2, 3, g))
    return [update * h + (1 - update) * candidate]


def mlp_gate_lstm(
    x: np.ndarray,
    states: States,
    w: Weights,
    a: Activation = np.tanh,
    s: Activation = sigmoid,
    g: Activation = np.tanh,
) -> States:
    h, c = states
    i, f, candidate, o = (perceptron(x, h, w, gate, 4, g) for gate in range(4))
    c = s(f) * c + s(i) * a(candidate)
    return [s(o) * a(c), c]


AddedTerms = Callable[[int], np.ndarray]
RecurrentProduct = Callable[[int, np.ndarray], np.ndarray]


def deep_transition(
    x: np.ndarray,
    states: States,
    w: Weights,
    gates: int,
    stage_step: Callable[[AddedTerms, RecurrentProduct, States], States],
) -> States:
    """Return the states after all stages of a deep transition.

    Args:
        x: Input.
        states: States before the step.
        w: Weights by name.
        gates: Number of gates.
        stage_step: Function (added, product, states) -> new states of one stage. `product(gate, state)` is the
            recurrent product of a gate; `added(gate)` is the sum of the other terms of its pre-activation.
    """
    depth = 1 + sum(name.startswith("transition_kernel") for name in w)
    initial = states[0]
    input_stages = w["bias"].shape[0] // (gates * initial.shape[1])  # stages that read x and h_{t-1}: one, or all
    for stage in range(depth):

        def added(gate: int, stage: int = stage) -> np.ndarray:
            index = stage * gates + gate
            if stage and input_stages == 1:
                return block(w[f"transition_bias_{stage + 1}"], gate, gates)
            count = input_stages * gates
            z = x @ block(w["kernel"], index, count) + block(w["bias"], index, count)
            return z + initial @ block(w["recurrent_kernel"], index, count) if stage else z

        def product(gate: int, state: np.ndarray, stage: int = stage) -> np.ndarray:
            if stage == 0:
                return state @ block(w["recurrent_kernel"], gate, input_stages * gates)
            return state @ block(w[f"transition_kernel_{stage + 1}"], gate, gates)

        states = stage_step(added, product, states)
    return states


def deep_transition_rnn(
    x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh, s: Activation = sigmoid
) -> States:
    return deep_transition(x, states, w, 1, lambda added, product, states: [a(added(0) + product(0, states[0]))])


def deep_transition_gru(
    x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh, s: Activation = sigmoid
) -> States:
    def stage_step(added: AddedTerms, product: RecurrentProduct, states: States) -> States:
        (h,) = states
        update, reset = (s(added(gate) + product(gate, h)) for gate in (0, 1))
        return [update * h + (1 - update) * a(added(2) + product(2, reset * h))]

    return deep_transition(x, states, w, 3, stage_step)


def deep_transition_lstm(
    x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh, s: Activation = sigmoid
) -> States:
    def stage_step(added: AddedTerms, product: RecurrentProduct, states: States) -> States:
        h, c = states
        i, f, candidate, o = (added(gate) + product(gate, h) for gate in range(4))
        c = s(f) * c + s(i) * a(candidate)
        return [s(o) * a(c), c]

    return deep_transition(x, states, w, 4, stage_step)


def rhn(x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh, s: Activation = sigmoid) -> States:
    (state,) = states
    gates = w["bias"].shape[0] // state.shape[1]
    depth = 1 + sum(name.startswith("transition_kernel") for name in w)
    for layer in range(1, depth + 1):
        if layer == 1:
            z = x @ w["kernel"] + state @ w["recurrent_kernel"] + w["bias"]
        else:
            z = state @ w[f"transition_kernel_{layer}"] + w[f"transition_bias_{layer}"]
        candidate, transform = a(block(z, 0, gates)), s(block(z, 1, gates))
        carry = s(block(z, 2, gates)) if gates == 3 else 1 - transform
        state = candidate * transform + state * carry
    return [state]


def affine(x: np.ndarray, h: np.ndarray, w: Weights, index: int, count: int) -> np.ndarray:
    """Return block `index` of `count` of x W + h U + b."""
    z = x @ block(w["kernel"], index, count) + h @ block(w["recurrent_kernel"], index, count)
    return z + block(w["bias"], index, count)


def mgu(x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh, s: Activation = sigmoid) -> States:
    (h,) = states
    forget = s(affine(x, h, w, 0, 2))
    return [(1 - forget) * h + forget * a(affine(x, forget * h, w, 1, 2))]


def ugrnn(x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh, s: Activation = sigmoid) -> States:
    (h,) = states
    update = s(affine(x, h, w, 0, 2))
    return [update * h + (1 - update) * a(affine(x, h, w, 1, 2))]


def coupled_lstm(x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh, s: Activation = sigmoid) -> States:
    h, c = states
    forget, candidate, output = (affine(x, h, w, gate, 3) for gate in range(3))
    c = s(forget) * c + (1 - s(forget)) * a(candidate)
    return [s(output) * a(c), c]


def peephole_lstm(
    x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh, s: Activation = sigmoid
) -> States:
    h, c = states
    i, f, candidate, o = (affine(x, h, w, gate, 4) for gate in range(4))
    p_i, p_f, p_o = np.split(w["peephole_kernel"], 3)
    c = s(f + p_f * c) * c + s(i + p_i * c) * a(candidate)
    return [s(o + p_o * c) * a(c), c]


def projected_lstm(
    x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh, s: Activation = sigmoid
) -> States:
    h, c = states
    z = x @ w["kernel"] + h @ w["recurrent_kernel"] + w.get("bias", 0)
    i, f, candidate, o = np.split(z, 4, -1)
    c = s(f) * c + s(i) * a(candidate)
    return [(s(o) * a(c)) @ w["projection_kernel"], c]


def multiplicative_lstm(
    x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh, s: Activation = sigmoid
) -> States:
    h, c = states
    m = (x @ w["multiplier_kernel"]) * (h @ w["multiplier_recurrent_kernel"])
    i, f, candidate, o = (affine(x, m, w, gate, 4) for gate in range(4))
    c = s(f) * c + s(i) * a(candidate)
    return [s(o) * a(c), c]


def indrnn(
    x: np.ndarray,
    states: States,
    w: Weights,
    a: Activation = lambda z: np.maximum(z, 0),
    s: Activation = sigmoid,
) -> States:
    return [a(x @ w["kernel"] + w["recurrent_kernel"] * states[0] + w["bias"])]


def fast_grnn(x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh, s: Activation = sigmoid) -> States:
    (h,) = states
    v = x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"]
    update = s(v + w["gate_bias"][0])
    zeta, nu = sigmoid(1 + w["scalars"][0]), sigmoid(w["scalars"][1] - 4)
    return [(zeta * (1 - update) + nu) * a(v) + update * h]


def normalize(z: np.ndarray, epsilon: float = 1e-3) -> np.ndarray:
    return (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + epsilon)


def layer_norm_lstm(
    x: np.ndarray,
    states: States,
    w: Weights,
    a: Activation = np.tanh,
    s: Activation = sigmoid,
    normalized_state: bool = False,
) -> States:
    h, c = states
    z = w["kernel_gain"] * normalize(x @ w["kernel"])
    z = z + w["recurrent_gain"] * normalize(h @ w["recurrent_kernel"]) + w["bias"]
    i, f, candidate, o = np.split(z, 4, -1)
    c = s(f) * c + s(i) * a(candidate)
    normalized = w["state_gain"] * normalize(c) + w["state_bias"]
    return [s(o) * a(normalized), normalized if normalized_state else c]


def addons_layer_norm_lstm(
    x: np.ndarray,
    states: States,
    w: Weights,
    a: Activation = np.tanh,
    s: Activation = sigmoid,
    epsilon: float = 1e-3,
) -> States:
    """Step of tensorflow-addons' `LayerNormLSTMCell`, whose three normalizations have a scale and an offset each."""
    h, c = states
    z = normalize(x @ w["kernel"], epsilon) * w["kernel_norm/gamma"] + w["kernel_norm/beta"] + w.get("bias", 0)
    z = z + normalize(h @ w["recurrent_kernel"], epsilon) * w["recurrent_norm/gamma"] + w["recurrent_norm/beta"]
    i, f, candidate, o = np.split(z, 4, -1)
    c = normalize(s(f) * c + s(i) * a(candidate), epsilon) * w["state_norm/gamma"] + w["state_norm/beta"]
    return [s(o) * a(c), c]


def addons_peephole_lstm(
    x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh, s: Activation = sigmoid
) -> States:
    """Step of tensorflow-addons' `PeepholeLSTMCell`, which has a vector of peepholes for each gate."""
    peepholes = [w[f"{gate}_gate_peephole_weights"] for gate in ("input", "forget", "output")]
    bias = w.get("bias", np.zeros(w["kernel"].shape[1]))
    return peephole_lstm(x, states, {**w, "bias": bias, "peephole_kernel": np.concatenate(peepholes)}, a, s)


def layer_norm_gru(
    x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh, s: Activation = sigmoid
) -> States:
    (h,) = states
    count = 2 * h.shape[1]

    def normalized(product: np.ndarray, gain: np.ndarray, bias: np.ndarray) -> np.ndarray:
        parts = [normalize(product[:, :count]), normalize(product[:, count:])]
        return gain * np.concatenate(parts, -1) + bias

    of_x = normalized(x @ w["kernel"], w["kernel_gain"], w["bias"])
    of_h = normalized(h @ w["recurrent_kernel"], w["recurrent_gain"], w["recurrent_bias"])
    update, reset = s(block(of_x + of_h, 0, 3)), s(block(of_x + of_h, 1, 3))
    candidate = a(block(of_x, 2, 3) + reset * block(of_h, 2, 3))
    return [update * h + (1 - update) * candidate]


def of_input(x: np.ndarray, w: Weights, index: int, count: int) -> np.ndarray:
    """Return block `index` of `count` of x W + b."""
    return x @ block(w["kernel"], index, count) + block(w["bias"], index, count)


def linear(z: np.ndarray) -> np.ndarray:
    return z


def min_gru(x: np.ndarray, states: States, w: Weights, a: Activation = linear, s: Activation = sigmoid) -> States:
    update = s(of_input(x, w, 0, 2))
    return [update * states[0] + (1 - update) * a(of_input(x, w, 1, 2))]


def min_lstm(x: np.ndarray, states: States, w: Weights, a: Activation = linear, s: Activation = sigmoid) -> States:
    write, keep, candidate = (of_input(x, w, gate, 3) for gate in range(3))
    return [(s(keep) * states[0] + s(write) * a(candidate)) / (s(keep) + s(write))]


def qrnn(x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh, s: Activation = sigmoid) -> States:
    z, last_input = x @ w["kernel"] + w["bias"], []
    if "previous_kernel" in w:
        z, last_input = z + states[2], [x @ w["previous_kernel"]]
    candidate, forget, output = (block(z, gate, 3) for gate in range(3))
    c = s(forget) * states[1] + (1 - s(forget)) * a(candidate)
    return [s(output) * c, c, *last_input]


def sru(x: np.ndarray, states: States, w: Weights, a: Activation = linear, s: Activation = sigmoid) -> States:
    c, seen = states[1], w["peephole_kernel"]
    forget = s(of_input(x, w, 0, 2) + block(seen, 0, 2) * c)
    reset = s(of_input(x, w, 1, 2) + block(seen, 1, 2) * c)
    c = forget * c + (1 - forget) * a(x @ block(w["input_kernel"], 0, 2))
    return [reset * c + (1 - reset) * (x @ block(w["input_kernel"], 1, 2)), c]


def rg_lru(x: np.ndarray, states: States, w: Weights, a: Activation = linear, s: Activation = sigmoid) -> States:
    u = a(x @ w["kernel"] + w["bias"])
    gates = s(u @ w["gate_kernel"] + w["gate_bias"])
    kept = np.exp(-w["decay"] * block(gates, 0, 2))
    return [kept * states[0] + np.sqrt(np.maximum(1 - kept**2, 1e-6)) * block(gates, 1, 2) * u]


def lru(x: np.ndarray, states: States, w: Weights, a: Activation = np.tanh) -> States:
    nu, theta, gamma = np.split(w["ring"], 3)
    into, out = (block(w["kernel"], 0, 3) + 1j * block(w["kernel"], 1, 3), w["output_kernel"])
    state = np.exp(-np.exp(nu) + 1j * np.exp(theta)) * (states[1] + 1j * states[2]) + np.exp(gamma) * (x @ into)
    read = (state @ (block(out, 0, 2) + 1j * block(out, 1, 2))).real
    return [a(read + x @ block(w["kernel"], 2, 3)), state.real, state.imag]


GATED_STEPS = (
    mgu,
    ugrnn,
    coupled_lstm,
    peephole_lstm,
    projected_lstm,
    multiplicative_lstm,
    indrnn,
    fast_grnn,
    layer_norm_lstm,
    layer_norm_gru,
    min_gru,
    min_lstm,
    qrnn,
    sru,
    lru,
    rg_lru,
)
"""Steps of cells without hidden layers in their gates and without stages."""

STEPS = {
    step.__name__: step
    for step in (
        mlp_gate_rnn,
        mlp_gate_gru,
        mlp_gate_lstm,
        deep_transition_rnn,
        deep_transition_gru,
        deep_transition_lstm,
        rhn,
        *GATED_STEPS,
    )
}


def state_widths(cell: str, weights: Weights, units: int) -> list[int]:
    """Return the number of features of each state of a cell."""
    if cell == "lru":
        return [units] * 3
    if cell == "projected_lstm":
        return [weights["projection_kernel"].shape[1], units]
    if cell == "qrnn":
        return [units, units, *([3 * units] if "previous_kernel" in weights else [])]
    has_two_states = (cell.endswith("_lstm") and cell != "min_lstm") or cell == "sru"
    return [units, units] if has_two_states else [units]


def sequence(
    cell: str,
    x: np.ndarray,
    weights: Weights,
    units: int,
    states: States | None = None,
    mask: np.ndarray | None = None,
    **options: Any,
) -> tuple[np.ndarray, States]:
    """Return the outputs (n, T, h) and final states for a sequence (n, T, d).

    At a masked step, the states do not change and the output is repeated.
    """
    n, num_steps = x.shape[:2]
    states = [np.zeros((n, width)) for width in state_widths(cell, weights, units)] if states is None else states
    mask = np.ones((n, num_steps), bool) if mask is None else mask
    output, outputs = np.zeros_like(states[0]), []
    for t in range(num_steps):
        new_states = STEPS[cell](x[:, t], states, weights, **options)
        valid = mask[:, t, None]
        states = [np.where(valid, new, old) for new, old in zip(new_states, states, strict=True)]
        output = np.where(valid, new_states[0], output)
        outputs.append(output)
    return np.stack(outputs, 1), states
