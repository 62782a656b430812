"""`ChainRunner`: the layers of a plugin file in NumPy, one step after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from typing_extensions import override

from deeprnn_keras.exporters.plugin_files.chain import Layer
from deeprnn_keras.exporters.target import Runner
from deeprnn_keras.program.program import Program

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


class ChainRunner(Runner):
    """Layers that were read from a file.

    Args:
        layers: The layers, each with the names of its states.
        program: The program that was exported; its initial states are those of the runner.
    """

    def __init__(self, layers: Sequence[Layer], program: Program) -> None:
        self.layers, self.program = layers, program

    @override
    def run(self, inputs: Sequence[np.ndarray], lengths: np.ndarray | None = None) -> list[np.ndarray]:
        assert lengths is None  # these files read none
        outputs, states = [], None
        for t in range(inputs[0].shape[1]):
            (y,), states = self.step([inputs[0][:, t]], states)
            outputs.append(y)
        return [np.stack(outputs, axis=1)]

    @override
    def step(
        self, inputs: Sequence[np.ndarray], states: Mapping[str, np.ndarray] | None = None
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        (x,) = inputs
        before = self.program.initial_states(len(x)) if states is None else states
        after: dict[str, np.ndarray] = {}
        for layer in self.layers:
            new = CELLS[layer.kind](layer, x, [before[name] for name in layer.states])
            after |= dict(zip(layer.states, new, strict=False))  # a dense layer has no states
            x = new[0]
        return [x], after


def _dense(layer: Layer, x: np.ndarray, states: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [ACTIVATIONS[layer.activation](x @ layer.kernel + layer.bias)]


def _lstm(layer: Layer, x: np.ndarray, states: Sequence[np.ndarray]) -> list[np.ndarray]:
    h, c = states
    gates = x @ layer.kernel + h @ _recurrent(layer) + layer.bias
    i, f, g, o = np.split(gates, 4, axis=-1)
    sigmoid = ACTIVATIONS["sigmoid"]
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def _gru(layer: Layer, x: np.ndarray, states: Sequence[np.ndarray]) -> list[np.ndarray]:
    (h,) = states
    z_x, r_x, n_x = np.split(x @ layer.kernel + layer.bias[0], 3, axis=-1)
    z_h, r_h, n_h = np.split(h @ _recurrent(layer) + layer.bias[1], 3, axis=-1)
    sigmoid = ACTIVATIONS["sigmoid"]
    z = sigmoid(z_x + z_h)
    return [z * h + (1 - z) * np.tanh(n_x + sigmoid(r_x + r_h) * n_h)]


def _recurrent(layer: Layer) -> np.ndarray:
    assert layer.recurrent_kernel is not None  # of a recurrent layer
    return layer.recurrent_kernel


CELLS: dict[str, Callable[[Layer, np.ndarray, Sequence[np.ndarray]], list[np.ndarray]]] = {
    "dense": _dense,
    "gru": _gru,
    "lstm": _lstm,
}
