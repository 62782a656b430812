"""Encoding of a `Program` for the native library: operations, packed weights, and a plan of the values.

An encoded program is read only; all streams over one program share it.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from deeprnn_keras.equations.trace import Instruction, Trace
from deeprnn_keras.kernels.native import library, programs
from deeprnn_keras.kernels.native.memory import empty
from deeprnn_keras.kernels.native.sequences import ACTIVATIONS, CELLS, NUM_GATES
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.interpreter import standard_trace
from deeprnn_keras.program.program import Program

GRU_INPUT_ORDER, GRU_STATE_ORDER = (2, 0, 1), (0, 1, 2)
"""Gates of the strips of a GRU: those of x begin with the candidate, those of h end with it (src/recurrence.h)."""


@dataclass(frozen=True)
class Value:
    """A value of an encoded program.

    Attributes:
        width: Number of features; of ids, their number.
        storage: "array" of the caller, "state", "steps" for all steps of a chunk, "step" for the current step of a
            cell, or "constant".
        ids: True for integers.
        ring: Number of steps that a state holds.
        number: Value of a constant.
    """

    width: int
    storage: str
    ids: bool = False
    ring: int = 0
    number: float = 0.0


@dataclass(frozen=True, eq=False)
class EncodedProgram:
    """A program for the native library.

    Attributes:
        values: Its values; the first are the inputs and the outputs.
        operations: A ctypes array of operations.
        states: {name: index of its value}.
        lanes: Floats in a vector, for which the matrices are packed.
        products: Weights that a step multiplies.
        sums: Floats of memory for the sums of a recurrence, per row and step.
        arrays: Arrays to which the operations point.
    """

    values: tuple[Value, ...]
    operations: ctypes.Array
    states: Mapping[str, int]
    lanes: int
    products: int
    sums: int
    arrays: tuple[object, ...]


_encoded: WeakKeyDictionary[Program, dict[int, EncodedProgram]] = WeakKeyDictionary()
_lock = threading.Lock()


def encode(program: Program) -> EncodedProgram:
    """Return a program for the instruction set in use; the result is kept as long as the program.

    Raises:
        NativeLibraryError: If the library is not available.
    """
    lanes = library.load().deeprnn_lanes()
    with _lock:
        by_lanes = _encoded.setdefault(program, {})
        if lanes not in by_lanes:
            by_lanes[lanes] = _Encoder(program, lanes).encode()
        return by_lanes[lanes]


class _Encoder:
    def __init__(self, program: Program, lanes: int) -> None:
        self.program, self.lanes = program, lanes
        self.strip = programs.STRIP_VECTORS * lanes
        self.values: list[Value] = []
        self.operations: list[programs.Operation] = []
        self.current = self.operations  # or the operations of a step of a cell
        self.storage = "steps"
        self.indices: dict[str, int] = {}
        self.targets: dict[str, int] = {}
        self.states: dict[str, int] = {}
        self.products = self.sums = 0
        self.arrays: list[object] = []

    def encode(self) -> EncodedProgram:
        for one in self.program.inputs:
            self.indices[one.name] = self.new_value(Value(one.width, "array", one.ids))
        outputs = [self.new_value(Value(self.program.widths[name], "array")) for name in self.program.outputs]
        sources = [self.source(name) for name in self.program.outputs]
        self.targets = dict(zip(reversed(sources), reversed(outputs), strict=True))
        for operation in self.program.operations:
            self.indices[operation.name] = self.operation(operation)
        for name, output in zip(sources, outputs, strict=True):
            if self.indices[name] != output:
                self.copy(self.indices[name], output)
        return EncodedProgram(
            tuple(self.values),
            self.structures(self.operations),
            self.states,
            self.lanes,
            self.products,
            self.sums,
            tuple(self.arrays),
        )

    def source(self, name: str) -> str:
        """Return the name of the value that a name stands for: `Last` is the current step."""
        by_name = {operation.name: operation for operation in self.program.operations}
        while isinstance(by_name.get(name), op.Last):
            name = by_name[name].inputs[0]
        return name

    # === Values and arrays ===

    def new_value(self, value: Value) -> int:
        self.values.append(value)
        return len(self.values) - 1

    def result(self, width: int, name: str = "") -> int:
        """Return the index of a new value, or of the output with a name."""
        return self.targets[name] if name in self.targets else self.new_value(Value(width, self.storage))

    def structures(self, operations: Sequence[programs.Operation]) -> ctypes.Array:
        return (programs.Operation * len(operations))(*operations)

    def address(self, array: np.ndarray | ctypes.Array) -> int:
        """Return the address of an array, which is kept."""
        self.arrays.append(array)
        if isinstance(array, ctypes.Array):
            return ctypes.addressof(array)
        assert array.flags.c_contiguous and array.dtype == np.float32
        return array.ctypes.data

    def vector(self, array: np.ndarray | None, width: int, default: float, padded: int = 0) -> int:
        """Return the address of an aligned copy with a width, and zeros up to another one."""
        copy = empty(max(width, padded))
        copy[:width] = default if array is None else array
        copy[width:] = 0
        return self.address(copy)

    def matrix(self, columns: np.ndarray, strip: int) -> programs.Matrix:
        """Return a matrix (rows, vectors, lanes) in strips."""
        self.products += columns.size
        return programs.Matrix(self.address(programs.pack(columns, strip)), len(columns), columns.shape[1], strip)

    def append(self, kind: str, result: int, operands: Sequence[int] = (), **details: object) -> int:
        operation = programs.Operation(kind=programs.KINDS[kind], result=result, **details)
        operation.operands = (ctypes.c_int32 * 3)(*operands)
        self.current.append(operation)
        return result

    # === Operations ===

    def operation(self, operation: op.Operation) -> int:
        """Encode an operation and return the index of its value."""
        x = [self.indices[name] for name in operation.inputs]
        if isinstance(operation, op.Last):
            return x[0]
        if isinstance(operation, op.OneHot) and self.is_only_multiplied(operation.name):
            return x[0]
        if isinstance(operation, op.Recurrent) and operation.cell != "gru_reset_before":
            return self.recurrent(operation, x[0])
        if isinstance(operation, op.Recurrence):
            return self.cell(operation, x[0])
        return getattr(self, _METHODS[type(operation)])(operation, x)

    def is_only_multiplied(self, name: str) -> bool:
        """Return whether one-hot vectors occur in products only: these select rows by the ids."""
        readers = [one for one in self.program.operations if name in map(self.source, one.inputs)]
        multiply = (op.Dense, op.Recurrent, op.Last)
        fast = [isinstance(one, multiply) and getattr(one, "cell", "") != "gru_reset_before" for one in readers]
        return all(fast) and name not in self.targets

    def embedding(self, operation: op.Embedding, x: list[int]) -> int:
        table = self.program.weights[operation.weight]
        table = self.address(np.ascontiguousarray(table, np.float32))
        return self.append("gather", self.result(operation.width, operation.name), x, scale=table)

    def one_hot(self, operation: op.OneHot, x: list[int]) -> int:
        return self.append("one_hot", self.result(operation.width, operation.name), x)

    def dense(self, operation: op.Dense, x: list[int]) -> int:
        kernel = self.program.weights[operation.kernel]
        result = self.result(operation.width, operation.name)
        return self.affine(result, x[0], kernel.T if operation.transposed else kernel, self.weight(operation.bias))

    def weight(self, name: str | None) -> np.ndarray | None:
        return None if name is None else self.program.weights[name]

    def affine(self, result: int, x: int, kernel: np.ndarray, bias: np.ndarray | None) -> int:
        matrix = self.matrix(programs.vectors(kernel, self.lanes), programs.STRIP_VECTORS)
        width = kernel.shape[1]
        offset = self.vector(bias, width, 0.0, padded=-(-width // self.strip) * self.strip)
        return self.append("affine", result, [x], W=matrix, offset=offset)

    def diagonal(self, result: int, x: int, scale: np.ndarray | None, offset: np.ndarray | None) -> int:
        width = self.values[result].width
        addresses = {"scale": self.vector(scale, width, 1.0), "offset": self.vector(offset, width, 0.0)}
        return self.append("diagonal", result, [x], **addresses)

    def scale(self, operation: op.Scale, x: list[int]) -> int:
        result = self.result(operation.width, operation.name)
        return self.diagonal(result, x[0], self.weight(operation.scale), self.weight(operation.offset))

    def softmax(self, operation: op.Softmax, x: list[int]) -> int:
        kind = "log_softmax" if operation.logarithm else "softmax"
        return self.append(kind, self.result(operation.width, operation.name), x)

    def layer_normalization(self, operation: op.LayerNormalization, x: list[int]) -> int:
        return self.append(
            "normalize",
            self.result(operation.width, operation.name),
            x,
            scale=self.vector(self.weight(operation.gamma), operation.width, 1.0),
            offset=self.vector(self.weight(operation.beta), operation.width, 0.0),
            epsilon=operation.epsilon,
            centered=operation.centered,
        )

    def copy(self, x: int, result: int, start: int = 0, to: int = 0, count: int | None = None) -> int:
        count = self.values[x].width if count is None else count
        return self.append("copy", result, [x], from_column=start, to_column=to, count=count)

    def concatenation(self, x: Sequence[int], result: int) -> int:
        to = 0
        for one in x:
            self.copy(one, result, to=to)
            to += self.values[one].width
        return result

    def concatenate(self, operation: op.Concatenate, x: list[int]) -> int:
        return self.concatenation(x, self.result(operation.width, operation.name))

    def add(self, operation: op.Add, x: list[int]) -> int:
        total, *others = x
        if not others:
            return self.copy(total, self.result(operation.width, operation.name))
        for one in others[:-1]:
            total = self.append("add", self.result(operation.width), [total, one])
        return self.append("add", self.result(operation.width, operation.name), [total, others[-1]])

    def elementwise(self, operation: op.Elementwise, x: list[int]) -> int:
        result = self.result(operation.width, operation.name)
        function = operation.function
        results = self.instructions(function, x, {}, function.instructions)
        return self.copy(results[function.outputs[0]], result)

    # === Recurrences ===

    def new_states(self, operation: op.Recurrence) -> int:
        """Return the index of the first state."""
        for state in operation.states:
            self.states[state.name] = self.new_value(Value(state.width, "state", ring=state.rate + 1))
        return self.states[operation.states[0].name]

    def recurrent(self, operation: op.Recurrent, x: int) -> int:
        kernel, recurrent_kernel = (
            self.program.weights[name] for name in (operation.kernel, operation.recurrent_kernel)
        )
        if operation.cell == "rnn":
            matrices = [programs.vectors(one, self.lanes) for one in (kernel, recurrent_kernel)]
            strip = programs.STRIP_VECTORS
        else:
            strip = NUM_GATES[operation.cell]
            matrices = [
                self.gates(one, order)
                for one, order in zip((kernel, recurrent_kernel), _gate_orders(operation.cell), strict=True)
            ]
        W, U = (self.matrix(one, strip) for one in matrices)
        bias = self.strip_biases(operation)
        self.sums = max(self.sums, bias.size)
        return self.append(
            "recurrent",
            self.result(operation.width, operation.name),
            [x],
            cell=CELLS[operation.cell],
            activation=ACTIVATIONS[operation.activation],
            recurrent_activation=ACTIVATIONS[operation.recurrent_activation],
            first_state=self.new_states(operation),
            num_states=len(operation.states),
            rate=operation.rate,
            W=W,
            U=U,
            offset=self.vector(bias.ravel(), bias.size, 0.0),
        )

    def gates(self, kernel: np.ndarray, order: Sequence[int]) -> np.ndarray:
        """Return (rows, vectors, lanes) whose strips have the gates of the same units, in an order."""
        blocks = programs.gate_vectors(kernel, len(order), self.lanes)[:, :, list(order)]
        return blocks.reshape(len(kernel), -1, self.lanes)

    def strip_biases(self, operation: op.Recurrent) -> np.ndarray:
        """Return the values with which the sums of each strip begin."""
        width, bias = operation.width, self.weight(operation.bias)
        if operation.cell == "rnn":
            sums = np.zeros((1, -(-width // self.strip) * self.strip), np.float32)
            sums[0, :width] = 0 if bias is None else bias
            return sums
        if bias is None:
            bias = np.zeros(4 * width, np.float32)
        elif operation.cell == "gru":
            (update, reset, of_x), (h_update, h_reset, of_h) = bias.reshape(2, 3, width)
            bias = np.concatenate([of_x, update + h_update, reset + h_reset, of_h])
        return self.gates(bias[None], (0, 1, 2, 3))

    def cell(self, operation: op.Recurrence, x: int) -> int:
        """Encode a recurrence that is given by its instructions."""
        if isinstance(operation, op.Cell):
            trace = operation.step
            weights = {name: self.program.weights[stored] for name, stored in operation.weights}
        else:
            assert isinstance(operation, op.Recurrent)
            trace, weights = standard_trace(operation, self.program.weights)
        result = self.result(operation.width, operation.name)
        first_state = self.new_states(operation)
        known = [x, *range(first_state, first_state + len(operation.states))]
        known = self.instructions(trace, known, weights, trace.instructions[: trace.projected])
        steps: list[programs.Operation] = []
        self.current, self.storage = steps, "step"
        known = self.instructions(trace, known, weights, trace.instructions[trace.projected :])
        self.current, self.storage = self.operations, "steps"
        new_states = (ctypes.c_int32 * len(trace.outputs))(*[known[index] for index in trace.outputs])
        return self.append(
            "cell",
            result,
            [x],
            first_state=first_state,
            num_states=len(trace.outputs),
            rate=operation.rate,
            steps=self.address(self.structures(steps)),
            num_steps=len(steps),
            new_states=self.address(new_states),
        )

    # === Instructions ===

    def instructions(
        self, trace: Trace, known: Sequence[int], weights: Mapping[str, np.ndarray], instructions: Sequence[Instruction]
    ) -> list[int]:
        """Encode instructions and return the indices of the known values and of their results."""
        values = list(known)
        for one in instructions:
            values.append(self.instruction(one, [values[index] for index in one.operands], weights))
        return values

    def instruction(self, one: Instruction, x: list[int], weights: Mapping[str, np.ndarray]) -> int:
        if one.primitive == "constant":
            return self.new_value(Value(1, "constant", number=one.number))
        result = self.result(one.width)
        if one.primitive == "split":
            return self.copy(x[0], result, start=one.start, count=one.width)
        if one.primitive == "concatenate":
            return self.concatenation(x, result)
        if one.primitive not in ("affine", "diagonal"):
            return self.append(one.primitive, result, x)
        weight = _columns(weights[one.weight or ""], one)
        bias = None if one.bias is None else _columns(weights[one.bias], one)
        if one.primitive == "affine":
            return self.affine(result, x[0], weight, bias)
        return self.diagonal(result, x[0], weight, bias)


def _columns(weight: np.ndarray, one: Instruction) -> np.ndarray:
    return np.concatenate([weight[..., start:stop] for start, stop in one.columns], axis=-1)


def _gate_orders(cell: str) -> tuple[Sequence[int], Sequence[int]]:
    """Return the orders of the gates in the strips of x and of h."""
    return (GRU_INPUT_ORDER, GRU_STATE_ORDER) if cell == "gru" else (range(4), range(4))


_METHODS: dict[type[op.Operation], str] = {
    op.Embedding: "embedding",
    op.OneHot: "one_hot",
    op.Dense: "dense",
    op.Elementwise: "elementwise",
    op.Softmax: "softmax",
    op.Scale: "scale",
    op.LayerNormalization: "layer_normalization",
    op.Concatenate: "concatenate",
    op.Add: "add",
}
