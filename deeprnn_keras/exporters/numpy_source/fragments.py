"""Fixed parts of the exported Python file."""

from __future__ import annotations

ACTIVATIONS = {
    "linear": "{}",
    "tanh": "np.tanh({})",
    "sigmoid": "sigmoid({})",
    "relu": "np.maximum({}, 0)",
    "hard_sigmoid": "hard_sigmoid({})",
}
"""{activation of a standard cell: function call}."""

STANDARD_STEPS = {
    "rnn": (
        "Simple RNN: h' = a(x W + h U + b).",
        """\
    z = x @ {W} + h @ {U}{b}
    return (A(z),)
""",
    ),
    "gru": (
        "GRU: z, r = s(x W + h U + b + b'), g = a(x W + b + r (h U + b')), h' = z h + (1 - z) g.",
        """\
    x_z, x_r, x_g = np.split(x @ {W}{b0}, 3, axis=-1)
    h_z, h_r, h_g = np.split(h @ {U}{b1}, 3, axis=-1)
    z = S(x_z + h_z)
    r = S(x_r + h_r)
    g = A(x_g + r * h_g)
    return (z * h + (1 - z) * g,)
""",
    ),
    "gru_reset_before": (
        "GRU: z, r = s(x W + h U + b), g = a(x W + (r h) U + b), h' = z h + (1 - z) g.",
        """\
    U = {U}
    x_z, x_r, x_g = np.split(x @ {W}{b}, 3, axis=-1)
    h_z, h_r = np.split(h @ U[:, :{two}], 2, axis=-1)
    z = S(x_z + h_z)
    r = S(x_r + h_r)
    kept = r * h
    g = A(x_g + kept @ U[:, {two}:])
    return (z * h + (1 - z) * g,)
""",
    ),
    "lstm": (
        "LSTM: i, f, o = s(x W + h U + b), g = a(x W + h U + b), c' = f c + i g, h' = o a(c').",
        """\
    i, f, g, o = np.split(x @ {W} + h @ {U}{b}, 4, axis=-1)
    c = S(f) * c + S(i) * A(g)
    h = S(o) * A(c)
    return h, c
""",
    ),
}
"""{cell: (docstring, body)}; A and S are the activations of the candidate and of the gates."""

HELPERS = {
    "sigmoid": '''\
def sigmoid(a):
    """Return 1 / (1 + exp(-a))."""
    return 0.5 * (np.tanh(0.5 * a) + 1)
''',
    "hard_sigmoid": '''\
def hard_sigmoid(a):
    """Return a / 6 + 1 / 2, limited to [0, 1]."""
    return np.clip(a / 6 + 0.5, 0, 1)
''',
    "softplus": '''\
def softplus(a):
    """Return log(1 + exp(a))."""
    return np.logaddexp(a, np.float32(0))
''',
    "log_softmax": '''\
def log_softmax(a):
    """Return the logarithm of the softmax over the last axis."""
    shifted = a - a.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
''',
    "softmax": '''\
def softmax(a):
    """Return exp(a) / sum(exp(a)) over the last axis."""
    exponentials = np.exp(a - a.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)
''',
    "normalized": '''\
def normalized(a, epsilon):
    """Return a / sqrt(mean(a^2) + epsilon), with the mean over the last axis."""
    return a / np.sqrt(np.square(a).mean(-1, keepdims=True) + np.float32(epsilon))
''',
    "scan": '''\
def scan(recurrence, x, *states):
    """Apply a recurrence to the steps of x (n, T, d); return its outputs (n, T, h) and the last states."""
    outputs = []
    for t in range(x.shape[1]):
        states = recurrence(x[:, t], *states)
        outputs.append(states[0])
    return np.stack(outputs, axis=1), states
''',
    "dilated_scan": '''\
def dilated_scan(recurrence, x, *states):
    """Do as scan, where step t follows step t - r; states (n, r, width) hold the last r steps, oldest first."""
    outputs = []
    for t in range(x.shape[1]):
        new = recurrence(x[:, t], *(state[:, 0] for state in states))
        states = [np.concatenate([old[:, 1:], one[:, None]], axis=1) for old, one in zip(states, new)]
        outputs.append(new[0])
    return np.stack(outputs, axis=1), states
''',
    "check_ids": '''\
def check_ids(name, ids, size):
    """Raise a ValueError if ids are not integers in [0, size)."""
    if ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= size:
        raise ValueError(f"{name} must contain integers from 0 to {size - 1}")
''',
}
"""{name: definition} of functions that are written if they are used; a function uses none of those before it."""

RESERVED = (*HELPERS, *("np", "W", "Path", "A", "S", "states", "new_states", "n", "VOCABULARY"))
RESERVED = (*RESERVED, *("forward", "run", "step", "initial_states"))
"""Identifiers that are not available for values."""
