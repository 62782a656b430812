"""Reference interpreter of a `Program` in NumPy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from deeprnn_keras.equations.trace import Instruction, Trace
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

OperationT = TypeVar("OperationT", bound=op.Operation)


def run(
    program: Program,
    inputs: Sequence[np.ndarray],
    states: Mapping[str, np.ndarray] | None = None,
    dtype: type[np.floating] = np.float32,
) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Run a program over sequences and return its outputs and final states.

    Args:
        program: The program.
        inputs: One array per input, (n, T, d), or (n, T) of ids.
        states: States before the first step by name; the initial ones by default.
        dtype: Type of the arithmetic; float64 for reference values.

    Returns:
        The outputs, (n, T, width), or (n, width) after a `Last`; and the states after the last step.
    """
    return Interpreter(program, dtype).run(inputs, states)


class Interpreter:
    """A program that NumPy executes.

    Args:
        program: The program.
        dtype: Type of the arithmetic.
        streaming: Return the value of each step, (n, T, width), after a `Last`, too.
    """

    def __init__(self, program: Program, dtype: type[np.floating] = np.float32, streaming: bool = False) -> None:
        self.program, self.dtype, self.streaming = program, dtype, streaming
        self.weights = {name: array.astype(dtype, copy=False) for name, array in program.weights.items()}
        self._steps: dict[str, tuple[Callable, Callable]] = {}

    def run(
        self, inputs: Sequence[np.ndarray], states: Mapping[str, np.ndarray] | None = None
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """Run over sequences and return the outputs and final states, as `run` does."""
        values = dict(zip((one.name for one in self.program.inputs), inputs, strict=True))
        values = {name: value if value.ndim == 2 else value.astype(self.dtype) for name, value in values.items()}
        batch_size = len(next(iter(values.values())))
        before = self.program.initial_states(batch_size) if states is None else states
        after = {name: np.array(state, self.dtype) for name, state in before.items()}
        for operation in self.program.operations:
            arrays = [values[name] for name in operation.inputs]
            values[operation.name] = self._execute(operation, arrays, after)
        return [values[name] for name in self.program.outputs], after

    def _execute(self, operation: op.Operation, x: list[np.ndarray], states: dict[str, np.ndarray]) -> np.ndarray:
        """Return the value of an operation; replace the states that it carries."""
        if isinstance(operation, op.Recurrence):
            return self._recurrence(operation, x[0], states)
        if isinstance(operation, op.Last) and self.streaming:
            return x[0]
        return _FUNCTIONS[type(operation)](self, operation, x)

    def _weight(self, name: str | None, default: float) -> np.ndarray | float:
        return default if name is None else self.weights[name]

    def _embedding(self, operation: op.Embedding, x: list[np.ndarray]) -> np.ndarray:
        return self.weights[operation.weight][x[0]]

    def _one_hot(self, operation: op.OneHot, x: list[np.ndarray]) -> np.ndarray:
        return np.eye(operation.width, dtype=self.dtype)[x[0]]

    def _dense(self, operation: op.Dense, x: list[np.ndarray]) -> np.ndarray:
        kernel = self.weights[operation.kernel]
        return x[0] @ (kernel.T if operation.transposed else kernel) + self._weight(operation.bias, 0.0)

    def _elementwise(self, operation: op.Elementwise, x: list[np.ndarray]) -> np.ndarray:
        return evaluate(operation.function, x, {})[operation.function.outputs[0]]

    def _softmax(self, operation: op.Softmax, x: list[np.ndarray]) -> np.ndarray:
        shifted = x[0] - x[0].max(-1, keepdims=True)
        logarithm = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
        return logarithm if operation.logarithm else np.exp(logarithm)

    def _scale(self, operation: op.Scale, x: list[np.ndarray]) -> np.ndarray:
        return x[0] * self._weight(operation.scale, 1.0) + self._weight(operation.offset, 0.0)

    def _layer_normalization(self, operation: op.LayerNormalization, x: list[np.ndarray]) -> np.ndarray:
        centered = x[0] - x[0].mean(-1, keepdims=True) if operation.centered else x[0]
        root = np.sqrt(np.square(centered).mean(-1, keepdims=True) + operation.epsilon)
        return centered / root * self._weight(operation.gamma, 1.0) + self._weight(operation.beta, 0.0)

    def _recurrence(self, operation: op.Recurrence, x: np.ndarray, states: dict[str, np.ndarray]) -> np.ndarray:
        names = [state.name for state in operation.states]
        current = [states[name] for name in names]
        if operation.rate == 1:
            current = [state[:, None] for state in current]  # (n, rate, h)
        steps = range(x.shape[1])
        outputs = np.empty((*x.shape[:2], operation.width), self.dtype)
        if operation.name not in self._steps:
            self._steps[operation.name] = self._step(operation)
        project, step = self._steps[operation.name]
        projected = project(x)
        for t in reversed(steps) if operation.reverse else steps:
            new = step(projected, t, [state[:, 0] for state in current])
            current = [
                np.concatenate([state[:, 1:], one[:, None]], axis=1) for state, one in zip(current, new, strict=True)
            ]
            outputs[:, t] = new[0]
        for name, state in zip(names, current, strict=True):
            states[name] = state[:, 0] if operation.rate == 1 else state
        return outputs

    def _step(self, operation: op.Recurrence) -> tuple[Callable, Callable]:
        """Return a function of x and one of (its result, t, states)."""
        if isinstance(operation, op.Cell):
            weights = {name: self.weights[stored] for name, stored in operation.weights}
            trace = operation.step
        else:
            assert isinstance(operation, op.Recurrent)
            trace, weights = standard_trace(operation, self.weights)
        count = 1 + trace.projected

        def project(x: np.ndarray) -> list[np.ndarray]:
            return evaluate(trace, [x, *[np.empty(0)] * (len(trace.inputs) - 1)], weights, stop=trace.projected)

        def step(projected: list[np.ndarray], t: int, states: list[np.ndarray]) -> list[np.ndarray]:
            first = len(trace.inputs)
            known = [projected[0][:, t], *states]
            known += [value if value.ndim < 3 else value[:, t] for value in projected[first : first + count - 1]]
            values = evaluate(trace, known, weights, start=trace.projected)
            return [values[index] for index in trace.outputs]

        return project, step


def standard_trace(operation: op.Recurrent, weights: Mapping[str, np.ndarray]) -> tuple[Trace, dict[str, np.ndarray]]:
    """Return the instructions of a standard cell and its weights by the names in them."""
    from deeprnn_keras.equations import GRUEquations, LSTMEquations, SimpleRNNEquations
    from deeprnn_keras.equations.trace import trace

    kernel, use_bias = weights[operation.kernel], operation.bias is not None
    local = {"kernel": kernel, "recurrent_kernel": weights[operation.recurrent_kernel]}
    if operation.bias is not None:
        local["bias"] = weights[operation.bias]
    if operation.cell == "lstm":
        equations = LSTMEquations(operation.width, use_bias)
    elif operation.cell == "rnn":
        equations = SimpleRNNEquations(operation.width, use_bias)
    else:
        equations = GRUEquations(operation.width, use_bias, reset_after=operation.cell == "gru")
    functions = {"activation": operation.activation, "recurrent_activation": operation.recurrent_activation}
    functions = {name: functions[name] for name in equations.activations}
    return trace(equations, len(kernel), functions), equations.from_keras(local)


_FUNCTIONS: dict[type[op.Operation], Callable[..., Any]] = {
    op.Embedding: Interpreter._embedding,
    op.OneHot: Interpreter._one_hot,
    op.Dense: Interpreter._dense,
    op.Elementwise: Interpreter._elementwise,
    op.Softmax: Interpreter._softmax,
    op.Scale: Interpreter._scale,
    op.LayerNormalization: Interpreter._layer_normalization,
    op.Concatenate: lambda _, __, x: np.concatenate(x, axis=-1),
    op.Add: lambda _, __, x: functools.reduce(np.add, x),
    op.Reverse: lambda _, __, x: x[0][:, ::-1],
    op.Last: lambda _, __, x: x[0][:, -1],
}


# === Instructions ===


def evaluate(
    trace: Trace,
    known: Sequence[np.ndarray],
    weights: Mapping[str, np.ndarray],
    start: int = 0,
    stop: int | None = None,
) -> list[np.ndarray]:
    """Return the values of a trace: `known`, followed by the results of instructions `start` to `stop`."""
    values = list(known)
    for one in trace.instructions[start:stop]:
        values.append(_result(one, [values[index] for index in one.operands], weights))
    return values


def _result(one: Instruction, operands: list[np.ndarray], weights: Mapping[str, np.ndarray]) -> np.ndarray:
    if one.primitive == "split":
        return operands[0][..., one.start : one.start + one.width]
    if one.primitive == "concatenate":
        return np.concatenate(operands, axis=-1)
    if one.primitive == "constant":
        return np.full(1, one.number, next(iter(weights.values())).dtype if weights else np.float32)
    if one.primitive in ("affine", "diagonal"):
        return _product(one, operands[0], weights)
    return _PRIMITIVES[one.primitive](*operands)


def _product(one: Instruction, a: np.ndarray, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    weight = _columns(weights[one.weight or ""], one)
    if one.primitive == "affine":
        result = a @ weight
    else:
        result = np.concatenate([a * part for part in np.split(weight, len(weight) // a.shape[-1])], axis=-1)
    return result if one.bias is None else result + _columns(weights[one.bias], one)


def _columns(weight: np.ndarray, one: Instruction) -> np.ndarray:
    return np.concatenate([weight[..., start:stop] for start, stop in one.columns], axis=-1)


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return 0.5 * (np.tanh(0.5 * a) + 1)


_PRIMITIVES: dict[str, Callable[..., np.ndarray]] = {
    "negate": np.negative,
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "hard_sigmoid": lambda a: np.clip(a / 6 + 0.5, 0, 1),
    "exp": np.exp,
    "log": np.log,
    "softplus": lambda a: np.logaddexp(a, 0).astype(a.dtype, copy=False),
    "sqrt": np.sqrt,
    "rsqrt": lambda a: 1 / np.sqrt(a),
    "sin": np.sin,
    "cos": np.cos,
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "greater": lambda a, b: (a > b).astype(a.dtype),
    "where": lambda condition, a, b: np.where(condition != 0, a, b),
    "mean": lambda a: a.mean(-1, keepdims=True),
}
