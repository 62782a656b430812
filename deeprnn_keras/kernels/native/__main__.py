"""Check of the built library: `python -m deeprnn_keras.kernels.native` prints its build and compares it with NumPy."""

from __future__ import annotations

import sys

import numpy as np

from deeprnn_keras.kernels.native import library, sequences
from deeprnn_keras.kernels.native.sequences import Inputs, Layer

BATCH_SIZE, STEPS, INPUTS, UNITS = 37, 11, 5, 19
TOLERANCE = 1e-5


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _lstm(inputs: Inputs) -> np.ndarray:
    """Return the outputs (n, T, h) of an LSTM in float64."""
    x, kernel, recurrent_kernel = (array.astype(np.float64) for array in inputs[:3])
    assert inputs.bias is not None
    h, c = (state.astype(np.float64) for state in inputs.states)
    outputs = []
    for x_t in np.moveaxis(x, 1, 0):
        i, f, g, o = np.split(x_t @ kernel + h @ recurrent_kernel + inputs.bias, 4, axis=1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, 1)


def _example() -> Inputs:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(scale=0.4, size=shape).astype(np.float32)

    weights = draw(INPUTS, 4 * UNITS), draw(UNITS, 4 * UNITS), draw(4 * UNITS)
    states = [draw(BATCH_SIZE, UNITS), draw(BATCH_SIZE, UNITS)]
    return Inputs(draw(BATCH_SIZE, STEPS, INPUTS), *weights, states, None)


def _forward_error(inputs: Inputs) -> float:
    """Return the largest difference between the outputs of an LSTM and those in float64."""
    y = sequences.forward(Layer("lstm"), inputs, training=False).y
    assert y is not None
    return float(np.abs(y - _lstm(inputs)).max())


def _backward_error(inputs: Inputs) -> float:
    """Return the error of a directional derivative of the outputs' sum, from finite differences in float64."""
    layer = Layer("lstm")
    outputs = sequences.forward(layer, inputs, training=True)
    assert outputs.y is not None
    d_states = [np.zeros_like(state) for state in inputs.states]
    gradients = sequences.backward(layer, inputs, outputs.stored, np.ones_like(outputs.y), d_states, needs_x=True)
    direction = np.random.default_rng(1).normal(size=inputs.kernel.shape) / np.sqrt(inputs.kernel.size)
    step = 1e-5
    after, before = (_lstm(inputs._replace(kernel=inputs.kernel + sign * step * direction)) for sign in (1, -1))
    expected = (after - before).sum() / (2 * step)
    return float(abs((gradients.kernel * direction).sum() - expected) / max(1.0, abs(expected)))


def main() -> int:
    """Print the build and the result of the check; return 0 if the library is there and right."""
    reason = library.unavailable_reason()
    if reason is not None:
        print(reason)
        return 1
    for name, value in library.describe().items():
        print(f"{name.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}")
    inputs = _example()
    errors = {"outputs": _forward_error(inputs), "gradients": _backward_error(inputs)}
    right = all(error < TOLERANCE for error in errors.values())
    print(f"check: {'passed' if right else 'failed'}, {', '.join(f'{k} {v:.1e}' for k, v in errors.items())}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
