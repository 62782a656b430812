"""`Runtime`: execution of a program step by step, with its states: by the native library, or by NumPy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from deeprnn_keras.kernels.native import library
from deeprnn_keras.program.program import Program


class Runtime(ABC):
    """A program with its states for one batch.

    Attributes:
        implementation: "native" or "numpy".
        inputs: Arrays that `step` reads, (n, d) of float32, or (n,) of int64 ids.
        outputs: Arrays that `step` writes, (n, q) of float32.
    """

    implementation: str
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]

    @abstractmethod
    def step(self) -> None:
        """Compute `outputs` from `inputs`.

        Raises:
            ValueError: If an id is out of range; the states are unchanged.
            RuntimeError: If another thread uses the stream.
        """

    @abstractmethod
    def push(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Compute T steps: `outputs` (n, T, q) from `inputs`, (n, T, d) or (n, T); as for `step`."""

    @abstractmethod
    def get_states(self) -> dict[str, np.ndarray]:
        """Return copies of the states by name."""

    @abstractmethod
    def set_states(self, states: Mapping[str, np.ndarray]) -> None:
        """Replace the states by arrays of their shapes."""

    @abstractmethod
    def clear(self, rows: slice | Sequence[int] | np.ndarray) -> None:
        """Set the states of rows to the initial ones."""


def create_runtime(program: Program, batch_size: int) -> Runtime:
    """Return a runtime with the native library if it is available, else with NumPy."""
    if library.unavailable_reason() is None:
        from deeprnn_keras.streaming.native import NativeRuntime

        return NativeRuntime(program, batch_size)
    from deeprnn_keras.streaming.reference import NumPyRuntime

    return NumPyRuntime(program, batch_size)


def step_arrays(program: Program, batch_size: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return arrays for the inputs and the outputs of a step."""
    inputs = [
        np.zeros(batch_size, np.int64) if one.ids else np.zeros((batch_size, one.width), np.float32)
        for one in program.inputs
    ]
    return inputs, [np.zeros((batch_size, program.widths[name]), np.float32) for name in program.outputs]


def raise_for_ids(program: Program, arrays: Sequence[np.ndarray]) -> None:
    """Raise a ValueError for the first id that is out of range."""
    for one, array in zip(program.inputs, arrays, strict=True):
        if not one.ids:
            continue
        outside = (array < 0) | (array >= one.width)
        if outside.any():
            position = tuple(int(index) for index in np.argwhere(outside)[0])
            raise ValueError(
                f"ids of {one.name!r} must be from 0 to {one.width - 1}, got {array[position]} at position {position}"
            )
