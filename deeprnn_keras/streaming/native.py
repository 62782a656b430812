"""Runtime of a program in the native library: one call per step or chunk, which allocates nothing."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence

import numpy as np

from deeprnn_keras.kernels.native import library, programs
from deeprnn_keras.kernels.native.memory import empty
from deeprnn_keras.program.program import Program
from deeprnn_keras.streaming.encoding import EncodedProgram, Value, encode
from deeprnn_keras.streaming.runtime import Runtime, raise_for_ids, step_arrays

ALIGNMENT = 16  # floats
CHUNK_FLOATS = 1 << 18
"""Memory for the values of a chunk of steps: it should stay in the second cache."""
MAX_CHUNK = 128
SMALLEST_SHARED = 3 << 18
"""Multiplications from which on threads share a step: about 40 microseconds of one core, since a thread that sleeps
takes tens of microseconds to wake."""


def _padded(width: int) -> int:
    return -(-width // ALIGNMENT) * ALIGNMENT


class NativeRuntime(Runtime):
    """A program with its states, executed by the native library."""

    implementation = "native"

    def __init__(self, program: Program, batch_size: int) -> None:
        self.program, self.batch_size = program, batch_size
        self.encoded: EncodedProgram = encode(program)
        self.inputs, self.outputs = step_arrays(program, batch_size)
        values = self.encoded.values
        per_step = sum(_padded(one.width) for one in values if one.storage == "steps")
        chunk = CHUNK_FLOATS // (batch_size * max(per_step + self.encoded.sums, 1))
        self.chunk = min(max(chunk, 1), MAX_CHUNK)
        self._initial = {  # the same for all steps of a dilated layer
            name: state.reshape(-1, state.shape[-1])[0] for name, state in program.initial_states(1).items()
        }
        self.states = {
            name: np.zeros((values[index].ring, batch_size, values[index].width), np.float32)
            for name, index in self.encoded.states.items()
        }
        self.clear(slice(None))
        self._sums = empty(self.encoded.sums * batch_size * self.chunk)
        self._memory = self._values_memory(values)
        self._values = (programs.Value * len(values))()
        self._place(values)
        arrays = [*self.inputs, *self.outputs]
        self._step_arrays = (programs.Array * len(arrays))()
        for structure, array in zip(self._step_arrays, arrays, strict=True):
            structure.data, structure.row = array.ctypes.data, array.strides[0]
        self._push_arrays = (programs.Array * len(arrays))()
        self.structure = self._structure()
        functions = library.load()
        self._step, self._push = functions.deeprnn_step, functions.deeprnn_push
        self._reference = ctypes.c_void_p(ctypes.addressof(self.structure))
        self._push_reference = ctypes.c_void_p(ctypes.addressof(self._push_arrays))

    def _floats(self, value: Value) -> int:
        """Return the memory of a value."""
        rows = {"steps": self.chunk * self.batch_size, "step": self.batch_size, "constant": 1}.get(value.storage, 0)
        return rows * _padded(value.width)

    def _values_memory(self, values: Sequence[Value]) -> np.ndarray:
        memory = empty(sum(map(self._floats, values)))
        memory[...] = 0
        return memory

    def _place(self, values: Sequence[Value]) -> None:
        """Write place and layout of each value; those of the arrays of the caller come with each call."""
        states = {index: self.states[name] for name, index in self.encoded.states.items()}
        offset = 0
        for index, (structure, value) in enumerate(zip(self._values, values, strict=True)):
            structure.width, structure.ids, structure.ring = value.width, value.ids, value.ring
            structure.of_call = value.storage in ("array", "state")
            if value.storage == "state":
                array = states[index]
                structure.data, structure.step, structure.row = array.ctypes.data, *array.strides[:2]
                continue
            structure.data = self._memory[offset:].ctypes.data
            structure.row = 0 if value.storage == "constant" else 4 * _padded(value.width)
            structure.step = structure.row * self.batch_size if value.storage == "steps" else 0
            if value.storage == "constant":
                self._memory[offset] = value.number
            offset += self._floats(value)

    def _structure(self) -> programs.Stream:
        return programs.Stream(
            abi=library.ABI,
            lanes=self.encoded.lanes,
            n=self.batch_size,
            chunk=self.chunk,
            threads=library.threads(),
            products=self.encoded.products,
            smallest_shared=SMALLEST_SHARED,
            num_operations=len(self.encoded.operations),
            num_values=len(self._values),
            num_arrays=len(self._step_arrays),
            operations=ctypes.addressof(self.encoded.operations),
            values=ctypes.addressof(self._values),
            arrays=ctypes.addressof(self._step_arrays),
            sums=self._sums.ctypes.data,
        )

    def step(self) -> None:
        """Compute `outputs` from `inputs`."""
        code = self._step(self._reference)
        if code:
            self._raise(code, self.inputs)

    def push(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Compute T steps; the last axis of features must be contiguous."""
        for structure, array in zip(self._push_arrays, (*inputs, *outputs), strict=True):
            structure.data = array.__array_interface__["data"][0]  # array.ctypes would leave a cycle of references
            structure.row, structure.step = array.strides[:2]
        code = self._push(self._reference, self._push_reference, inputs[0].shape[1])
        if code:
            self._raise(code, inputs)

    def _raise(self, code: int, inputs: Sequence[np.ndarray]) -> None:
        if code == library.BAD_ID:
            raise_for_ids(self.program, inputs)
        if code == library.BUSY:
            raise RuntimeError("the stream is in use by another thread; create one stream per thread")
        raise library.NativeLibraryError("the native library refused its arguments")

    def _positions(self, name: str) -> list[int]:
        """Return the positions in the ring of a state, oldest first."""
        ring = len(self.states[name])
        return [(self.structure.time + position) % ring for position in range(ring - 1)]

    def get_states(self) -> dict[str, np.ndarray]:
        """Return copies of the states by name."""
        states = {}
        for name, array in self.states.items():
            ordered = array[self._positions(name)]
            states[name] = ordered[0] if len(ordered) == 1 else np.ascontiguousarray(ordered.swapaxes(0, 1))
        return states

    def set_states(self, states: Mapping[str, np.ndarray]) -> None:
        """Replace the states by arrays of their shapes."""
        for name, array in self.states.items():
            positions = self._positions(name)
            array[positions] = states[name][None] if len(positions) == 1 else states[name].swapaxes(0, 1)

    def clear(self, rows: slice | Sequence[int] | np.ndarray) -> None:
        """Set the states of rows to the initial ones."""
        for name, array in self.states.items():
            array[:, rows] = self._initial[name]
