"""`trace`: equations as data, a list of instructions over a closed set of primitives.

`Equations.project_inputs` and `Equations.step` are evaluated on symbols instead of arrays; each operation on a symbol
appends an instruction. Interpreters, emitters, and the C code execute the list and know nothing else of a recurrence.
"""

from __future__ import annotations

import linecache
import math
import operator
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.maps import Blocks, DiagonalMap, Linear, NamedMap
from deeprnn_keras.equations.value import Value

UNARY = ("negate", "sigmoid", "tanh", "relu", "hard_sigmoid", "exp", "log", "softplus", "sqrt", "rsqrt", "sin", "cos")
"""Primitives of one operand that act elementwise."""

BINARY = ("add", "subtract", "multiply", "divide", "maximum", "greater")
"""Primitives of two operands that act elementwise; an operand of width 1 is repeated. greater is 1 or 0."""

PRIMITIVES = (
    *UNARY,
    *BINARY,
    "where",  # the second operand where the first is not 0, else the third
    "mean",  # over the features
    "split",  # features `start` to `start + width`
    "concatenate",
    "constant",
    "affine",  # the product with columns of a weight, plus those of a bias
    "diagonal",  # blocks of a weight times the operand, plus those of a bias
)


@dataclass(frozen=True)
class Instruction:
    """Application of a primitive.

    Attributes:
        primitive: One of `PRIMITIVES`.
        operands: Indices of the operands among the values of the trace.
        width: Number of features of the result.
        start: First feature, for "split".
        number: Value, for "constant".
        weight: Name of the weight, for "affine" and "diagonal".
        bias: Name of its bias, or None.
        columns: Ranges of the last axis of weight and bias, (start, stop) each, whose concatenation is applied.
    """

    primitive: str
    operands: tuple[int, ...]
    width: int
    start: int = 0
    number: float = 0.0
    weight: str | None = None
    bias: str | None = None
    columns: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Trace:
    """A recurrence, or an elementwise function, as a list of instructions.

    The values are numbered: first the inputs, then the result of each instruction.

    Attributes:
        inputs: Widths of the inputs: x, then the states before the step.
        instructions: The instructions, in an order in which each uses only earlier values.
        outputs: Indices of the results: the states after the step, the output first.
        projected: Number of leading instructions that depend on x only. They can be evaluated for all steps at once.

    >>> from deeprnn_keras.equations import SimpleRNNEquations
    >>> from deeprnn_keras.equations.trace import trace
    >>> print(trace(SimpleRNNEquations(units=4), input_dim=3))
    v0 = x, width 3
    v1 = state 0, width 4
    v2 = affine(v0; kernel + bias), width 4
    v3 = affine(v1; recurrent_kernel), width 4
    v4 = add(v2, v3), width 4
    v5 = tanh(v4), width 4
    states after the step: v5
    """

    inputs: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[int, ...]
    projected: int = 0

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of all values."""
        return (*self.inputs, *(one.width for one in self.instructions))

    def __str__(self) -> str:
        names = ["x", *(f"state {index}" for index in range(len(self.inputs) - 1))]
        lines = [f"v{index} = {name}, width {self.inputs[index]}" for index, name in enumerate(names)]
        lines += [
            f"v{index} = {_call(one)}, width {one.width}"
            for index, one in enumerate(self.instructions, start=len(self.inputs))
        ]
        outputs = ", ".join(f"v{index}" for index in self.outputs)
        return "\n".join([*lines, f"{'states after the step' if len(names) > 1 else 'result'}: {outputs}"])


def _call(one: Instruction) -> str:
    arguments = ", ".join(f"v{index}" for index in one.operands)
    if one.primitive == "constant":
        return f"{one.number:g}"
    if one.primitive == "split":
        arguments += f"[{one.start}:{one.start + one.width}]"
    if one.weight is not None:
        arguments += f"; {one.weight}" + (f" + {one.bias}" if one.bias else "")
        columns = " and ".join(f"{start}:{stop}" for start, stop in one.columns)
        if " " in columns or not columns.startswith("0:"):
            arguments += f", columns {columns}"
    return f"{one.primitive}({arguments})"


@dataclass
class _Recorder:
    widths: list[int] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)

    def input(self, width: int) -> Symbol:
        self.widths.append(width)
        return Symbol(self, len(self.widths) - 1)

    def append(self, primitive: str, operands: Sequence[Symbol], width: int, **details: Any) -> Symbol:
        indices = tuple(operand.index for operand in operands)
        self.instructions.append(Instruction(primitive, indices, width, **details))
        self.widths.append(width)
        return Symbol(self, len(self.widths) - 1)


class UntraceableError(TypeError):
    """Equations use an operation that is not one of the primitives."""


class Symbol(Value):
    """A value whose operations are recorded."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, recorder: _Recorder, index: int) -> None:
        self.recorder, self.index = recorder, index

    @property
    def shape(self) -> tuple[None, int]:
        """(None, width): the batch size is not known."""
        return None, self.recorder.widths[self.index]

    @override
    def apply(self, primitive: str, *others: object) -> Symbol:
        """Append an elementwise primitive with this symbol as the first operand."""
        operands = [self, *(self.lift(primitive, other) for other in others)]
        widths = {operand.shape[1] for operand in operands} - {1}
        if len(widths) > 1:
            raise UntraceableError(f"{primitive} of widths {' and '.join(map(str, sorted(widths)))}")
        return self.recorder.append(primitive, operands, widths.pop() if widths else 1)

    @override
    def lift(self, primitive: str, other: object) -> Symbol:
        if isinstance(other, Symbol):
            return other
        if not checks.is_number(other) or not math.isfinite(other):  # pyright: ignore[reportArgumentType]
            raise UntraceableError(f"{primitive} with {type(other).__name__}; only numbers and results are supported")
        return self.recorder.append("constant", [], 1, number=float(other))  # pyright: ignore[reportArgumentType]

    @override
    def mean(self) -> Symbol:
        return self.recorder.append("mean", [self], 1)

    @override
    def concatenate(self, values: Sequence[Any]) -> Symbol:
        return self.recorder.append("concatenate", values, sum(value.shape[1] for value in values))

    @override
    def __getitem__(self, key: object) -> Symbol:
        width = self.shape[1]
        if not (isinstance(key, tuple) and len(key) == 2 and key[0] is Ellipsis and isinstance(key[1], slice)):
            raise UntraceableError(
                f"indexing with {key!r}; only slices of the features, a[..., start:stop], are supported"
            )
        start, stop, step = key[1].indices(width)
        if step != 1 or stop <= start:
            raise UntraceableError(f"indexing with {key!r} of {width} features")
        return self if stop - start == width else self.recorder.append("split", [self], stop - start, start=start)

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **_: Any) -> Symbol:  # noqa: ANN401 - NumPy's
        function = _ARITHMETIC.get(ufunc.__name__) if method == "__call__" else None
        if function is None:
            raise UntraceableError(f"numpy.{ufunc.__name__}")
        return function(*(one.item() if isinstance(one, np.generic) else one for one in operands))

    def __array_function__(self, function: Any, *_: Any) -> NoReturn:  # noqa: ANN401 - NumPy's
        raise UntraceableError(f"numpy.{function.__name__}")

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise UntraceableError("control flow that depends on values, or conversion of a value to an array")

    __bool__ = __len__ = __iter__ = __array__ = __float__ = __int__ = __eq__ = __ne__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        raise UntraceableError(f"attribute {name!r} of a value")


_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "negative": operator.neg,
    "greater": operator.gt,
    "less": operator.lt,
}
"""NumPy's functions for arithmetic with one of its numbers on the left."""


def explain(error: Exception) -> str:
    """Return why equations could not be traced, with the operation and the line of the equations."""
    reason = str(error) if isinstance(error, UntraceableError) else f"{type(error).__name__}: {error}"
    text, traced = "", False
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
        package = module.partition(".")[0]
        if package == "keras":
            reason = f"keras.ops.{frame.f_code.co_name}"
        if package in _FRAMEWORKS:
            break
        traced = traced or module in _OWN_MODULES
        if traced and module not in _OWN_MODULES:
            text = linecache.getline(frame.f_code.co_filename, line).strip()
    return f"{reason}, in `{text}`" if text else reason


_FRAMEWORKS = ("keras", "tensorflow", "numpy", "torch", "jax")
_OWN_MODULES = (__name__, *(f"deeprnn_keras.equations.{name}" for name in ("primitives", "maps", "activations")))


def _is(value: object, number: int) -> bool:
    return not isinstance(value, Symbol) and checks.is_number(value) and value == number


def trace(equations: Equations, input_dim: int, activations: Mapping[str, Any] | None = None) -> Trace:
    """Return the instructions of a recurrence.

    Args:
        equations: The recurrence.
        input_dim: Number of features of x.
        activations: {name in f: name of a Keras activation, or function of a value}; the default activations are
            those of the equations.

    Raises:
        UntraceableError: If the equations use an operation that is not one of `PRIMITIVES`.
    """
    recorder = _Recorder()
    x = recorder.input(input_dim)
    states = [recorder.input(width) for width in equations.state_widths().values()]
    linear = Linear(equations.maps(input_dim), _record_product)
    f = _functions(equations, activations)
    projected = equations.project_inputs(x, linear, f)
    count = len(recorder.instructions)
    return _traced(recorder, equations, equations.step(projected, list(states), linear, f), count)


def trace_step(equations: Equations, activations: Mapping[str, Any] | None = None) -> Trace:
    """Return the instructions of a step alone; its first input is the tensor of the projected inputs.

    Args:
        equations: The recurrence.
        activations: As in `trace`.

    Raises:
        UntraceableError: If the equations use an operation that is not one of `PRIMITIVES`.
    """
    linear, f = Linear(equations.maps(1), _record_product), _functions(equations, activations)
    projected = equations.project_inputs(_Recorder().input(1), linear, f)
    recorder = _Recorder()
    x = Blocks(recorder.input(projected.tensor.shape[-1]), projected.names)
    states = [recorder.input(width) for width in equations.state_widths().values()]
    return _traced(recorder, equations, equations.step(x, list(states), linear, f), 0)


def _functions(equations: Equations, activations: Mapping[str, Any] | None) -> SimpleNamespace:
    from deeprnn_keras.equations.activations import activation

    functions = {**equations.activations, **(activations or {})}
    return SimpleNamespace(**{name: activation(one) for name, one in functions.items()})


def _traced(recorder: _Recorder, equations: Equations, results: Sequence[Any], projected: int) -> Trace:
    widths = equations.state_widths()
    if len(results) != len(widths) or not all(isinstance(one, Symbol) for one in results):
        raise UntraceableError(f"a step returns {len(widths)} states, got {results!r}")
    for (state, width), one in zip(widths.items(), results, strict=True):
        if one.shape[1] != width:
            raise UntraceableError(f"state {state!r} has width {width}, got {one.shape[1]}")
    inputs = tuple(recorder.widths[: 1 + len(widths)])
    return Trace(inputs, tuple(recorder.instructions), tuple(one.index for one in results), projected)


def untraceable_reason(equations: Equations, input_dim: int = 3) -> str:
    """Return the operation of equations that is not a primitive, with its line; "" if all are."""
    try:
        trace(equations, input_dim)
    except Exception as error:  # user-defined equations may raise any
        return explain(error)
    return ""


def trace_function(function: Any, width: int) -> Trace:  # noqa: ANN401 - a name or a function
    """Return the instructions of an elementwise function, a Keras activation by name or a function of a value.

    Raises:
        UntraceableError: If the function uses an operation that is not one of `PRIMITIVES`.
    """
    from deeprnn_keras.equations.activations import activation

    recorder = _Recorder()
    result = activation(function)(recorder.input(width))
    if not isinstance(result, Symbol) or result.shape[1] != width:
        raise UntraceableError(f"a function of {width} features returns as many, got {result!r}")
    return Trace((width,), tuple(recorder.instructions), (result.index,))


def _record_product(named_map: NamedMap, blocks: tuple[str, ...], a: Symbol) -> Symbol:
    columns: list[tuple[int, int]] = []
    for block in blocks:
        part = named_map.columns(block)
        if columns and columns[-1][1] == part.start:
            columns[-1] = (columns[-1][0], part.stop)
        else:
            columns.append((part.start, part.stop))
    if a.shape[1] != named_map.input_dim:
        raise UntraceableError(f"{named_map.name} has inputs of width {named_map.input_dim}, got {a.shape[1]}")
    return a.recorder.append(
        "diagonal" if isinstance(named_map, DiagonalMap) else "affine",
        [a],
        named_map.width * len(blocks),
        weight=named_map.name,
        bias=named_map.bias,
        columns=tuple(columns),
    )
