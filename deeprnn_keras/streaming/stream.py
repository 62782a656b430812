"""`Stream`: a trained model that reads one step at a time and keeps its states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.program.operations import Input
from deeprnn_keras.program.program import Program
from deeprnn_keras.streaming.runtime import Runtime, create_runtime

if TYPE_CHECKING:
    import keras

ArrayLike: TypeAlias = Any
"""An array or nested sequence; for a program with several inputs, a tuple of them."""

Arrays: TypeAlias = np.ndarray | tuple[np.ndarray, ...]

FLOAT32 = np.dtype(np.float32)
ndarray = np.ndarray
"""The class, for the checks of each step."""


class Stream:
    """A causal model that reads its input step by step, for a batch of n independent sequences.

    The model is lowered to a `Program`; a step is one call of the native library, or of NumPy where the library is not
    built. Results depend neither on how the steps are divided into calls nor on the number of threads.

    The rows of the batch advance together. Where a sequence has ended, give its row any valid input, ignore its output,
    and call `reset(rows=...)` before the first step of the next sequence; other rows are not affected.

    Each stream has its own states and may be used by one thread at a time; different streams, also of one program, run
    in different threads at the same time. A stream can be pickled; the copy has the program and the states.

    Args:
        model: A `Program`, or a Keras model or layer that `lower` supports.
        batch_size: n.

    Raises:
        ValueError: If a layer needs the whole sequence, such as a bidirectional one.

    >>> import keras
    >>> from deeprnn_keras import LSTM, Stream
    >>> model = keras.Sequential([keras.Input((None, 3)), LSTM(4, return_sequences=True, name="lstm")])
    >>> stream = Stream(model)
    >>> stream([[0.1, 0.2, 0.3]]).shape                   # one step, (n, d)
    (1, 4)
    >>> stream.push([[[0.1, 0.2, 0.3]] * 5]).shape        # five steps, (n, T, d)
    (1, 5, 4)
    >>> {name: state.shape for name, state in stream.state.items()}
    {'lstm/h': (1, 4), 'lstm/c': (1, 4)}
    >>> stream.reset()
    """

    def __init__(self, model: keras.Model | Program, batch_size: int = 1) -> None:
        batch_size = checks.positive_int("batch_size", batch_size)
        self._model = None if isinstance(model, Program) else model
        program = model if isinstance(model, Program) else _lowered(model, batch_size)
        self._start(program, batch_size)

    def _start(self, program: Program, batch_size: int) -> None:
        _check(program, batch_size)
        self.program, self.batch_size = program, batch_size
        self._runtime: Runtime = create_runtime(program, batch_size)
        self._step = self._runtime.step
        self._inputs, self._outputs = self._runtime.inputs, self._runtime.outputs
        self._single = len(self._inputs) == len(self._outputs) == 1
        self._input, self._output = self._inputs[0], self._outputs[0]
        self._input_shape, self._input_dtype = self._input.shape, self._input.dtype
        self._output_shape = self._output.shape

    @property
    def implementation(self) -> str:
        """Name of the code that executes the program: "native" or "numpy"."""
        return self._runtime.implementation

    # === Steps ===

    def __call__(self, x: ArrayLike, out: Arrays | None = None) -> Arrays:
        """Read one step and return the outputs.

        Args:
            x: (n, d), or (n,) of ids; a tuple for a program with several inputs.
            out: float32 array (n, q) that receives the output, or a tuple of them; with it and with a float32 (ids:
                int64) array x, a step allocates no memory. By default, the result is a new array.

        Raises:
            ValueError: If an array has a wrong shape or dtype, or an id is out of range; the states are unchanged.
        """
        if not self._single:
            return self._several(x, out)
        if type(x) is not ndarray or x.shape != self._input_shape or x.dtype is not self._input_dtype:
            x = _as_input(self.program.inputs[0], x, self._input_shape)
        if out is not None and (
            type(out) is not ndarray
            or out.shape != self._output_shape
            or out.dtype is not FLOAT32
            or not out.flags.writeable
        ):
            _check_out(out, self._output_shape)
        self._input[...] = x
        self._step()
        if out is None:
            return self._output.copy()
        out[...] = self._output  # pyright: ignore[reportIndexIssue]
        return out

    def _several(self, x: ArrayLike, out: Arrays | None) -> Arrays:
        arrays = self._as_inputs(x, [one.shape for one in self._inputs])
        given = None if out is None else self._as_outputs(out, [one.shape for one in self._outputs])
        for buffer, array in zip(self._inputs, arrays, strict=True):
            buffer[...] = array
        self._step()
        if given is None:
            results = tuple(one.copy() for one in self._outputs)
            return results[0] if len(results) == 1 else results
        for array, buffer in zip(given, self._outputs, strict=True):
            array[...] = buffer
        assert out is not None
        return out

    def push(self, x: ArrayLike, out: Arrays | None = None) -> Arrays:
        """Read T steps and return the outputs of each; equal to T calls of the stream.

        Args:
            x: (n, T, d), or (n, T) of ids; a tuple for a program with several inputs.
            out: float32 array (n, T, q) that receives the outputs, or a tuple of them.

        Raises:
            ValueError: If an array has a wrong shape or dtype, or an id is out of range; the states are unchanged.
        """
        steps = _num_steps(x[0] if len(self._inputs) > 1 and isinstance(x, (tuple, list)) and x else x)
        arrays = self._as_inputs(x, [(one.shape[0], steps, *one.shape[1:]) for one in self._inputs])
        shapes = [(one.shape[0], steps, *one.shape[1:]) for one in self._outputs]
        results = [np.empty(shape, np.float32) for shape in shapes] if out is None else self._as_outputs(out, shapes)
        if steps:
            arrays = [_readable(array, results) for array in arrays]
            self._runtime.push(arrays, results)
        if out is not None:
            return out
        return tuple(results) if len(results) > 1 else results[0]

    def iterate(self, steps: Iterable[ArrayLike]) -> Iterator[Arrays]:
        """Yield the output of each step of an iterable, as soon as the step is available.

        >>> import numpy as np
        >>> from deeprnn_keras import Stream
        >>> from deeprnn_keras.program.operations import Dense, Input
        >>> from deeprnn_keras.program.program import Program
        >>> sums = Program("sums", (Input("x", 2),), (Dense("y", ("x",), 1, "w"),), ("y",), {"w": np.ones((2, 1), "f")})
        >>> [float(y[0, 0]) for y in Stream(sums).iterate([[[1, 2]], [[3, 4]]])]
        [3.0, 7.0]
        """
        return (self(x) for x in steps)

    def _as_inputs(self, x: ArrayLike, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        inputs = self.program.inputs
        given = [x] if len(inputs) == 1 else list(x) if isinstance(x, (tuple, list)) else []
        if len(given) != len(inputs):
            names = ", ".join(one.name for one in inputs)
            raise ValueError(f"x must be a tuple of {len(inputs)} arrays ({names}), got {_described(x)}")
        return [_as_input(*one) for one in zip(inputs, given, shapes, strict=True)]

    def _as_outputs(self, out: Arrays, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        given = [out] if len(shapes) == 1 else list(out) if isinstance(out, (tuple, list)) else []
        if len(given) != len(shapes):
            names = ", ".join(self.program.outputs)
            raise ValueError(f"out must be a tuple of {len(shapes)} arrays ({names}), got {_described(out)}")
        for array, shape in zip(given, shapes, strict=True):
            _check_out(array, shape)
        return given  # pyright: ignore[reportReturnType]

    # === States ===

    def reset(self, rows: int | Sequence[int] | np.ndarray | None = None) -> None:
        """Set the states to the initial ones, as before the first step.

        Args:
            rows: Indices of the rows of the batch whose sequences begin again; all rows by default.

        Raises:
            ValueError: If a row does not exist.
        """
        self._runtime.clear(slice(None) if rows is None else self._checked_rows(rows))

    def _checked_rows(self, rows: int | Sequence[int] | np.ndarray) -> np.ndarray:
        indices = np.atleast_1d(np.asarray(rows))
        if indices.size == 0:
            return np.zeros(0, np.int64)
        if indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= self.batch_size:
            raise ValueError(f"rows must be integers from 0 to {self.batch_size - 1}, got {rows!r}")
        return indices

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The states by name, (n, width) each, or (n, r, width) with dilation rate r, oldest step first.

        The arrays are copies. They can be saved, for example `np.savez(path, **stream.state)`, and assigned:
        `stream.state = dict(np.load(path))`. The stream then continues with the same bits.
        """
        return self._runtime.get_states()

    @state.setter
    def state(self, states: Mapping[str, ArrayLike]) -> None:
        self._runtime.set_states(_checked_states(self.program, self.batch_size, states))

    def refresh(self) -> None:
        """Read the weights of the model again, after they have changed; the states are kept.

        Raises:
            ValueError: If the stream was created from a `Program`, which is a copy of the weights; lower the model
                again.
        """
        if self._model is None:
            raise ValueError(
                "refresh() is not supported for a stream of a Program: a program is a copy of the weights of its "
                "model; lower the model again, or pass the model to Stream"
            )
        states = self.state
        self._start(_lowered(self._model, self.batch_size), self.batch_size)
        self.state = states

    def __getstate__(self) -> dict[str, Any]:
        return {"program": self.program, "batch_size": self.batch_size, "states": self.state}

    def __setstate__(self, stored: dict[str, Any]) -> None:
        self._model = None
        self._start(stored["program"], stored["batch_size"])
        self.state = stored["states"]

    def __repr__(self) -> str:
        name, n, implementation = self.program.name, self.batch_size, self.implementation
        return f"Stream({name!r}, batch_size={n}, implementation={implementation!r})"


def _lowered(model: keras.Model, batch_size: int) -> Program:
    from deeprnn_keras.program.lowering import lower

    return lower(model, batch_size=batch_size)


# === Checks ===


def _check(program: Program, batch_size: int) -> None:
    if program.looking_ahead is not None:
        raise ValueError(
            f"streaming is not supported for program {program.name!r}: {program.looking_ahead.name!r} needs the whole "
            "sequence"
        )
    if program.batch_size not in (None, batch_size):
        raise ValueError(
            f"batch_size must be {program.batch_size}, for which program {program.name!r} was lowered, got {batch_size}"
        )


def _described(value: object) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"an array of shape {tuple(shape)}"


def _num_steps(x: ArrayLike) -> int:
    shape = np.shape(x)
    if len(shape) < 2:
        raise ValueError(f"push needs an array with an axis of steps, (n, T, d), or (n, T) of ids; got shape {shape}")
    return shape[1]


def _as_input(one: Input, x: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Return an input as float32 or int64.

    Raises:
        ValueError: If its shape or dtype is not supported.
    """
    array = np.asarray(x)
    kinds, expected, dtype = ("iu", "integers", np.int64) if one.ids else ("fiu", "real numbers", np.float32)
    if array.shape != shape:
        raise ValueError(f"input {one.name!r} must have shape {shape}, got {array.shape}")
    if array.dtype.kind not in kinds and array.size:
        raise ValueError(f"input {one.name!r} must be {expected}, got dtype {array.dtype}")
    return array.astype(dtype, copy=False)


def _check_out(out: object, shape: tuple[int, ...]) -> None:
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != FLOAT32 or not out.flags.writeable:
        got = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"out must be a writable float32 array of shape {shape}, got {got}")
    if not out.flags.aligned or (out.ndim == 3 and out.shape[2] > 1 and out.strides[2] != out.itemsize):
        raise ValueError("the features of out must be aligned and contiguous, got an array of another layout")


def _readable(array: np.ndarray, outputs: Sequence[np.ndarray]) -> np.ndarray:
    """Return an input, or a copy if its features are not contiguous or its memory is that of an output."""
    contiguous = array.ndim < 3 or array.shape[2] == 1 or array.strides[2] == array.itemsize
    if not contiguous or not array.flags.aligned or any(np.may_share_memory(array, one) for one in outputs):
        return array.copy()
    return array


def _checked_states(program: Program, batch_size: int, states: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """Return states as float32 arrays.

    Raises:
        ValueError: If they are not those of the program, or not finite; the message lists names and shapes.
    """
    expected = {name: state.shape(batch_size) for name, state in program.states.items()}
    arrays = {name: np.asarray(state) for name, state in dict(states).items()}
    given = {name: array.shape for name, array in arrays.items()}
    if given != expected:
        raise ValueError(
            f"state must be that of program {program.name!r} for batch size {batch_size}: {_listed(expected)}; "
            f"got {_listed(given)}"
        )
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(f"state {name!r} must contain finite real numbers")
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "no states"
