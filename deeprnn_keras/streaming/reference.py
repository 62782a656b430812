"""Runtime of a program in NumPy, where the native library is not available."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from deeprnn_keras.program.interpreter import Interpreter
from deeprnn_keras.program.program import Program
from deeprnn_keras.streaming.runtime import Runtime, raise_for_ids, step_arrays


class NumPyRuntime(Runtime):
    """A program with its states, executed by the reference interpreter."""

    implementation = "numpy"

    def __init__(self, program: Program, batch_size: int) -> None:
        self.program = program
        self.inputs, self.outputs = step_arrays(program, batch_size)
        self.states = program.initial_states(batch_size)
        self._interpreter = Interpreter(program, streaming=True)

    def step(self) -> None:
        """Compute `outputs` from `inputs`."""
        self.push([one[:, None] for one in self.inputs], [one[:, None] for one in self.outputs])

    def push(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Compute T steps."""
        raise_for_ids(self.program, inputs)
        results, self.states = self._interpreter.run(inputs, self.states)
        for output, result in zip(outputs, results, strict=True):
            output[...] = result

    def get_states(self) -> dict[str, np.ndarray]:
        """Return copies of the states by name."""
        return {name: state.copy() for name, state in self.states.items()}

    def set_states(self, states: Mapping[str, np.ndarray]) -> None:
        """Replace the states by arrays of their shapes."""
        self.states = {name: np.array(states[name], np.float32) for name in self.states}

    def clear(self, rows: slice | Sequence[int] | np.ndarray) -> None:
        """Set the states of rows to the initial ones."""
        for name, initial in self.program.initial_states(1).items():
            self.states[name][rows] = initial
