"""Plain NumPy references in float64 for the cells that are deep inside the step, written out gate by gate.

A step takes x (n, d), the states, the weights by name, and the activations a, s and g (of the gates' hidden layers).
Blocks of columns are counted by hand.
"""

import numpy as np
from oracles import sigmoid


def block(matrix, number, count):
    """The block `number` of `count` equal ones along the last axis."""
    width = matrix.shape[-1] // count
    return matrix[..., number * width : (number + 1) * width]


def perceptron(x, h, w, gate, gates, g):
    z = x @ block(w["kernel"], gate, gates) + h @ block(w["recurrent_kernel"], gate, gates)
    z = z + block(w["bias"], gate, gates)
    layer = 1
    while f"gate_kernel_{layer}" in w:
        z = g(z) @ block(w[f"gate_kernel_{layer}"], gate, gates) + block(w[f"gate_bias_{layer}"], gate, gates)
        layer += 1
    return z


def mlp_gate_rnn(x, states, w, a=np.tanh, s=sigmoid, g=np.tanh):
    return [a(perceptron(x, states[0], w, 0, 1, g))]


def mlp_gate_gru(x, states, w, a=np.tanh, s=sigmoid, g=np.tanh):
    (h,) = states
    update, reset = s(perceptron(x, h, w, 0, 3, g)), s(perceptron(x, h, w, 1, 3, g))
    candidate = a(perceptron(x, reset * h, w, 2, 3, g))
    return [update * h + (1 - update) * candidate]


def mlp_gate_lstm(x, states, w, a=np.tanh, s=sigmoid, g=np.tanh):
    h, c = states
    i, f, new, o = (perceptron(x, h, w, gate, 4, g) for gate in range(4))
    c = s(f) * c + s(i) * a(new)
    return [s(o) * a(c), c]


def stages(x, states, w, gates, stage_of):
    """Runs the stages of a deep transition: `stage_of(z, product, states)` -> states.

    `z(gate)` is what is added to the recurrent product of a gate, `product(gate, state)` that product.
    """
    depth = 1 + sum(name.startswith("transition_kernel") for name in w)
    first = states[0]
    joint = w["bias"].shape[0] // (gates * states[0].shape[1])  # stages that read x and h: one, or all
    for stage in range(depth):

        def added(gate, stage=stage):
            at = stage * gates + gate
            if stage and joint == 1:
                return block(w[f"transition_bias_{stage + 1}"], gate, gates)
            z = x @ block(w["kernel"], at, joint * gates) + block(w["bias"], at, joint * gates)
            return z + first @ block(w["recurrent_kernel"], at, joint * gates) if stage else z

        def product(gate, state, stage=stage):
            if stage == 0:
                return state @ block(w["recurrent_kernel"], gate, joint * gates)
            return state @ block(w[f"transition_kernel_{stage + 1}"], gate, gates)

        states = stage_of(added, product, states)
    return states


def deep_transition_rnn(x, states, w, a=np.tanh, s=sigmoid, g=None):
    return stages(x, states, w, 1, lambda z, product, states: [a(z(0) + product(0, states[0]))])


def deep_transition_gru(x, states, w, a=np.tanh, s=sigmoid, g=None):
    def stage(z, product, states):
        (h,) = states
        update, reset = (s(z(gate) + product(gate, h)) for gate in (0, 1))
        return [update * h + (1 - update) * a(z(2) + product(2, reset * h))]

    return stages(x, states, w, 3, stage)


def deep_transition_lstm(x, states, w, a=np.tanh, s=sigmoid, g=None):
    def stage(z, product, states):
        h, c = states
        i, f, new, o = (z(gate) + product(gate, h) for gate in range(4))
        c = s(f) * c + s(i) * a(new)
        return [s(o) * a(c), c]

    return stages(x, states, w, 4, stage)


def rhn(x, states, w, a=np.tanh, s=sigmoid, g=None):
    (state,) = states
    gates = w["bias"].shape[0] // state.shape[1]
    depth = 1 + sum(name.startswith("transition_kernel") for name in w)
    for layer in range(1, depth + 1):
        if layer == 1:
            z = x @ w["kernel"] + state @ w["recurrent_kernel"] + w["bias"]
        else:
            z = state @ w[f"transition_kernel_{layer}"] + w[f"transition_bias_{layer}"]
        new, transform = a(block(z, 0, gates)), s(block(z, 1, gates))
        carry = s(block(z, 2, gates)) if gates == 3 else 1 - transform
        state = new * transform + state * carry
    return [state]


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
    )
}


def sequence(cell, x, weights, units, states=None, mask=None, **functions):
    """(n, T, d) -> outputs (n, T, h), final states; a masked step leaves the states and repeats the output."""
    n, steps = x.shape[:2]
    count = 2 if cell.endswith("lstm") else 1
    states = [np.zeros((n, units))] * count if states is None else states
    mask = np.ones((n, steps), bool) if mask is None else mask
    output, outputs = np.zeros((n, units)), []
    for t in range(steps):
        new = STEPS[cell](x[:, t], states, weights, **functions)
        valid = mask[:, t, None]
        states = [np.where(valid, after, before) for after, before in zip(new, states, strict=True)]
        output = np.where(valid, new[0], output)
        outputs.append(output)
    return np.stack(outputs, 1), states
