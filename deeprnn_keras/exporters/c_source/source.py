"""Source text of the C file of a program: the constants, and one function that executes a step."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from deeprnn_keras.equations.trace import Instruction, Trace
from deeprnn_keras.exporters.c_source.fragments import HEAD, PRODUCTS, RESERVED, SAMPLING, used_functions
from deeprnn_keras.exporters.c_source.weights import Weights, float_literal, tied_weights
from deeprnn_keras.exporters.expressions import Expressions, Syntax, Text
from deeprnn_keras.exporters.identifiers import Names
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.interpreter import standard_trace
from deeprnn_keras.program.program import Program


@dataclass(frozen=True)
class Ids:
    """The value of an id, or of the one-hot vector of an id, which is not computed if only products read it.

    Attributes:
        name: Expression of the id.
        width: Number of ids.
    """

    name: str
    width: int


class CSyntax(Syntax):
    """Expressions of C for feature i of a value.

    Args:
        arrays: {index of a value: expression of its array}.
    """

    functions: ClassVar[Mapping[str, str]] = {
        "sigmoid": "sigmoid({})",
        "tanh": "hyperbolic_tangent({})",
        "relu": "rectified({})",
        "hard_sigmoid": "hard_sigmoid({})",
        "exp": "exponential({})",
        "log": "logarithm({})",
        "softplus": "softplus({})",
        "sqrt": "square_root({})",
        "rsqrt": "(1.0f / square_root({}))",
        "sin": "sine({})",
        "cos": "cosine({})",
        "maximum": "larger({}, {})",
    }

    def __init__(self, arrays: Mapping[int, str]) -> None:
        self.arrays = arrays

    @override
    def number(self, value: float) -> str:
        return float_literal(float(np.float32(value)))

    @override
    def value(self, index: int, start: int, width: int) -> str:
        if width == 1:
            return f"{self.arrays[index]}[{start}]"
        return f"{self.arrays[index]}[i + {start}]" if start else f"{self.arrays[index]}[i]"

    @override
    def truth(self, condition: Text) -> Text:
        return Text(f"({condition.text} ? 1.0f : 0.0f)")

    @override
    def choice(self, condition: str, a: Text, b: Text) -> Text:
        return Text(f"({condition} ? {a.text} : {b.text})")


class CSource:
    """Source text of a program.

    Args:
        program: The program; no operation looks ahead.
        name: Prefix of the identifiers.
        quantized: Write matrices with 8 bits.

    Attributes:
        name: Prefix of the identifiers.
        inputs: {input: its parameter}.
        outputs: {output: its parameter}.
        states: {state: its member of the struct}.
        work: {member of the struct: width} of values.
        slots: {dilation rate: member of the struct, the position of the oldest step}.
        vocabulary: Symbols of a language model as UTF-8, or None.
        size: Number of symbols of a language model, or None.
    """

    def __init__(self, program: Program, name: str, quantized: bool = False) -> None:
        self.program, self.name = program, name
        names = Names((*RESERVED, *_PUBLIC_NAMES, *(f"{name}_{one}" for one in _PUBLIC_NAMES)))
        # macros of the header have these names in upper case
        self.inputs = {one.name: names.new(names.plain(one.name).lower()) for one in program.inputs}
        self.outputs = {one: names.new(names.plain(one).lower()) for one in dict.fromkeys(program.outputs)}
        self._members = Names(RESERVED)
        self.states = {one: self._members[one] for one in program.states}
        rates = sorted({one.rate for one in program.states.values() if one.rate > 1})
        self.slots = {rate: self._members.new(f"slot_{rate}") for rate in rates}
        self.work: dict[str, int] = {}
        self.size = language_size(program)
        self.vocabulary = symbols(program) if self.size else None
        self._weights = Weights(names, quantized)
        self._tied = tied_weights(program)
        self._values: dict[str, str | Ids] = {
            one.name: Ids(self.inputs[one.name], one.width) if one.ids else self.inputs[one.name]
            for one in program.inputs
        }
        self._lines: list[str] = []
        self._execute()
        self._initial = self._initial_states()

    # === The file ===

    def text(self) -> str:
        """Return the text of the .c file."""
        step = self._step()
        functions = "\n".join(used_functions(step))
        products = PRODUCTS if "STRIP" in functions else ""
        parts = [f'#include "{self.name}.h"\n{HEAD}', products, "/* === Weights === */\n", self._weights.text()]
        parts += ["/* === Functions === */\n", functions, self._init(), step, self._run()]
        if self.size:
            upper = self.name.upper()
            parts.append(SAMPLING.replace("NAME_UPPER", upper).replace("NAME", self.name))
        parts.append(self._symbols())
        return "\n".join(part for part in parts if part)

    def parameters(self, sequence: bool) -> str:
        """Return the parameters of a function after the state: inputs and outputs of a step or of a sequence."""
        inputs = [self._parameter(one, sequence) for one in self.program.inputs]
        return ", ".join([*inputs, *(f"float *{name}" for name in self.outputs.values())])

    def _parameter(self, one: op.Input, sequence: bool) -> str:
        name = self.inputs[one.name]
        if one.ids:
            return f"const int32_t *{name}" if sequence else f"int32_t {name}"
        return f"const float *{name}"

    def _init(self) -> str:
        name = self.name
        lines = [
            f"void {name}_init({name}_state *state) {{",
            "  memset(state, 0, sizeof *state);",
            *self._initial,
            "}\n",
        ]
        return "\n".join(lines)

    def _initial_states(self) -> list[str]:
        """Return the statements that set the learned states before the first step."""
        lines = []
        for state in self.program.states.values():
            if state.initial is None:
                continue
            vector = self._weights.vector(state.initial, self.program.weights[state.initial])
            member = f"state->{self.states[state.name]}"
            steps = [member] if state.rate == 1 else [f"{member}[{step}]" for step in range(state.rate)]
            lines += [f"  memcpy({step}, {vector}, sizeof {vector});" for step in steps]
        return lines

    def _step(self) -> str:
        name, upper = self.name, self.name.upper()
        body = "\n".join(self._lines)
        lines = [f"int {name}_step({name}_state *state, {self.parameters(sequence=False)}) {{"]
        if "(i = 0" in body:
            lines.append("  int i;")
        for one in self.program.inputs:
            parameter = self.inputs[one.name]
            if one.ids:
                lines.append(f"  if ({parameter} < 0 || {parameter} >= {one.width}) return {upper}_BAD_ID;")
            elif not re.search(rf"\b{parameter}\b", body):
                lines.append(f"  (void){parameter};")
        if "state->" not in body:
            lines.append("  (void)state;")
        lines.append(body)
        lines += [f"  state->{slot} = (state->{slot} + 1) % {rate};" for rate, slot in self.slots.items()]
        return "\n".join([*lines, f"  return {upper}_OK;", "}\n"])

    def _run(self) -> str:
        name, widths = self.name, self.program.widths
        arguments = [
            f"{self.inputs[one.name]}[t]" if one.ids else _offset(self.inputs[one.name], one.width)
            for one in self.program.inputs
        ]
        arguments += [
            parameter if value in self.program.final else _offset(parameter, widths[value])
            for value, parameter in self.outputs.items()
        ]
        return "\n".join(
            [
                f"int {name}_run({name}_state *state, size_t steps, {self.parameters(sequence=True)}) {{",
                "  size_t t;",
                "  for (t = 0; t < steps; t++) {",
                f"    int code = {name}_step(state, {', '.join(arguments)});",
                f"    if (code != {name.upper()}_OK) return code;",
                "  }",
                f"  return {name.upper()}_OK;",
                "}\n",
            ]
        )

    def _symbols(self) -> str:
        if self.vocabulary is None:
            return ""
        lines = [f"  {c_string(symbol)}," for symbol in self.vocabulary]
        head = f"const char *const {self.name}_symbols[{self.name.upper()}_SYMBOLS] = {{"
        return "\n".join([head, *lines, "};\n"])

    # === Operations ===

    def _execute(self) -> None:
        for operation in self.program.operations:
            self._lines.append(f"  /* {comment(f'{operation.name}: {type(operation).__name__}')} */")
            _RULES[type(operation)](self, operation)
        for value, parameter in self.outputs.items():
            self._emit(f"copy({parameter}, {self._array(value)}, {self.program.widths[value]});")

    def _emit(self, line: str) -> None:
        self._lines.append(f"  {line}")

    def _member(self, name: str, width: int) -> str:
        """Add a value to the struct and return the expression of its array."""
        member = self._members.new(self._members.plain(name))
        self.work[member] = width
        return f"state->{member}"

    def _new(self, operation: op.Operation) -> str:
        """Return the array of the value of an operation."""
        array = self._values[operation.name] = self._member(operation.name, operation.width)
        return array

    def _array(self, name: str) -> str:
        """Return the array of a value; compute it if it is a one-hot vector that only products have read."""
        value = self._values[name]
        if isinstance(value, str):
            return value
        array = self._values[name] = self._member(name, value.width)
        self._emit(f"for (i = 0; i < {value.width}; i++) {array}[i] = i == {value.name} ? 1.0f : 0.0f;")
        return array

    def _affine(
        self, y: str, x: str | Ids, weight: tuple[str, np.ndarray], bias: tuple[str, np.ndarray] | None
    ) -> None:
        """Emit y = x W + b."""
        name, array = weight
        matrix = self._weights.matrix(name, array)
        vector = None if bias is None else self._weights.vector(*bias)
        if isinstance(x, Ids):
            self._emit(matrix.call("row", y, x.name, vector))
        else:
            self._emit(matrix.call("product", y, x, vector))

    def _named(self, name: str) -> tuple[str, np.ndarray]:
        return name, self.program.weights[name]

    def embedding(self, operation: op.Embedding) -> None:
        """Emit an embedding: a row of its weight, or a column of that of the tied head."""
        ids = self._values[operation.inputs[0]]
        assert isinstance(ids, Ids)
        y, (name, array) = self._new(operation), self._named(operation.weight)
        if name in self._tied:
            self._emit(self._weights.matrix(name, array.T).call("column", y, ids.name))
        else:
            self._affine(y, ids, (name, array), None)

    def one_hot(self, operation: op.OneHot) -> None:
        """Define a one-hot vector."""
        self._values[operation.name] = self._values[operation.inputs[0]]

    def dense(self, operation: op.Dense) -> None:
        """Emit a product."""
        name, array = self._named(operation.kernel)
        bias = None if operation.bias is None else self._named(operation.bias)
        x = self._values[operation.inputs[0]]
        self._affine(self._new(operation), x, (name, array.T if operation.transposed else array), bias)

    def elementwise(self, operation: op.Elementwise) -> None:
        """Emit an activation."""
        arrays = {0: self._array(operation.inputs[0])}
        expressions = self._instructions(operation.name, operation.function, dict[int, str | Ids](arrays), {})
        self._loop(self._new(operation), operation.width, expressions.operand(operation.function.outputs[0]).text)

    def softmax(self, operation: op.Softmax) -> None:
        """Emit a softmax."""
        x = self._array(operation.inputs[0])
        function = "log_softmax" if operation.logarithm else "softmax"
        self._emit(f"{function}({self._new(operation)}, {x}, {operation.width});")

    def scale(self, operation: op.Scale) -> None:
        """Emit a scaling."""
        x = self._array(operation.inputs[0])
        self._loop(
            self._new(operation),
            operation.width,
            f"{x}[i]{self._term('*', operation.scale)}{self._term('+', operation.offset)}",
        )

    def layer_normalization(self, operation: op.LayerNormalization) -> None:
        """Emit a normalization."""
        x = self._array(operation.inputs[0])
        y, epsilon = self._new(operation), float_literal(operation.epsilon)
        self._emit(f"normalize({y}, {x}, {operation.width}, {epsilon}, {int(operation.centered)});")
        if operation.gamma is not None or operation.beta is not None:
            terms = f"{self._term('*', operation.gamma)}{self._term('+', operation.beta)}"
            self._loop(y, operation.width, f"{y}[i]{terms}")

    def concatenate(self, operation: op.Concatenate) -> None:
        """Emit a concatenation."""
        arrays = [(self._array(name), self.program.widths[name]) for name in operation.inputs]
        self._join(self._new(operation), arrays)

    def add(self, operation: op.Add) -> None:
        """Emit a sum."""
        arrays = [self._array(name) for name in operation.inputs]
        self._loop(self._new(operation), operation.width, " + ".join(f"{array}[i]" for array in arrays))

    def last(self, operation: op.Last) -> None:
        """Define the value of the last step, that of the current one."""
        self._values[operation.name] = self._array(operation.inputs[0])

    def recurrent(self, operation: op.Recurrent) -> None:
        """Emit a step of a standard cell."""
        trace, local = standard_trace(operation, self.program.weights)
        weights = {name: (f"{operation.name}/{name}", np.asarray(array)) for name, array in local.items()}
        self._recurrence(operation, trace, weights)

    def cell(self, operation: op.Cell) -> None:
        """Emit a step of a cell."""
        weights = {name: self._named(stored) for name, stored in operation.weights}
        self._recurrence(operation, operation.step, weights)

    def _recurrence(
        self, operation: op.Recurrence, trace: Trace, weights: Mapping[str, tuple[str, np.ndarray]]
    ) -> None:
        x = self._values[operation.inputs[0]]
        if isinstance(x, Ids) and not _reads_by_products_only(trace):
            x = self._array(operation.inputs[0])
        states = [f"state->{self.states[state.name]}" for state in operation.states]
        if operation.rate > 1:
            states = [f"{state}[state->{self.slots[operation.rate]}]" for state in states]
        values = dict(enumerate([x, *states]))
        expressions = self._instructions(operation.name, trace, values, weights)
        new_states = self._new_states(operation, trace, values, expressions)
        for state, source, width in zip(states, new_states, trace.inputs[1:], strict=True):
            self._emit(f"copy({state}, {source}, {width});")
        self._values[operation.name] = states[0]

    def _new_states(
        self, operation: op.Recurrence, trace: Trace, values: Mapping[int, str | Ids], expressions: Expressions
    ) -> list[str]:
        """Return the arrays of the states after a step; parts of the states before it are copied first."""
        arrays = []
        for index, width in zip(trace.outputs, trace.inputs[1:], strict=True):
            base, start = expressions.location(index)
            array = f"{values[base]}{f' + {start}' if start else ''}"
            if 1 <= base < len(trace.inputs):
                kept = self._member(f"{operation.name}_kept", width)
                self._emit(f"copy({kept}, {array}, {width});")
                array = kept
            arrays.append(array)
        return arrays

    # === Instructions ===

    def _instructions(
        self,
        name: str,
        trace: Trace,
        values: dict[int, str | Ids],
        weights: Mapping[str, tuple[str, np.ndarray]],
    ) -> Expressions:
        """Emit the named results of a trace."""
        arrays: Any = values
        expressions = Expressions(trace, CSyntax(arrays))
        for index, one in expressions:
            values[index] = array = self._member(f"{name}_v{index}", one.width)
            if one.primitive in _INSTRUCTIONS:
                _INSTRUCTIONS[one.primitive](self, array, one, expressions, values, weights)
            else:
                self._loop(array, one.width, expressions.expression(one).text)
        return expressions

    def affine_instruction(
        self,
        y: str,
        one: Instruction,
        expressions: Expressions,
        values: Mapping[int, str | Ids],
        weights: Mapping[str, tuple[str, np.ndarray]],
    ) -> None:
        """Emit a product with columns of a weight."""
        base, start = expressions.location(one.operands[0])
        x = values[base]
        if isinstance(x, str) and start:
            x = f"{x} + {start}"
        bias = None if one.bias is None else _columns(weights[one.bias], one)
        self._affine(y, x, _columns(weights[one.weight or ""], one), bias)

    def diagonal_instruction(
        self,
        y: str,
        one: Instruction,
        expressions: Expressions,
        values: Mapping[int, str | Ids],
        weights: Mapping[str, tuple[str, np.ndarray]],
    ) -> None:
        """Emit a product with a diagonal weight."""
        weight = self._weights.vector(*_columns(weights[one.weight or ""], one))
        width = expressions.trace.widths[one.operands[0]]
        self._emit(f"diagonal({y}, {_operand(expressions, values, one)}, {weight}, {width}, {one.width // width});")
        if one.bias is not None:
            bias = self._weights.vector(*_columns(weights[one.bias], one))
            self._loop(y, one.width, f"{y}[i] + {bias}[i]")

    def mean_instruction(
        self, y: str, one: Instruction, expressions: Expressions, values: Mapping[int, str | Ids], _: object
    ) -> None:
        """Emit a mean."""
        width = expressions.trace.widths[one.operands[0]]
        self._emit(f"{y}[0] = mean({_operand(expressions, values, one)}, {width});")

    def concatenate_instruction(
        self, y: str, one: Instruction, expressions: Expressions, values: Mapping[int, str | Ids], _: object
    ) -> None:
        """Emit a concatenation."""
        widths = [expressions.trace.widths[index] for index in one.operands]
        arrays = [_operand(expressions, values, one, number) for number in range(len(widths))]
        self._join(y, list(zip(arrays, widths, strict=True)))

    def _join(self, y: str, arrays: list[tuple[str, int]]) -> None:
        start = 0
        for array, width in arrays:
            self._emit(f"copy({y}{f' + {start}' if start else ''}, {array}, {width});")
            start += width

    def _loop(self, y: str, width: int, expression: str) -> None:
        """Emit the assignment of an expression of feature i."""
        if width == 1:
            self._emit(f"{y}[0] = {expression.replace('[i]', '[0]')};")
        else:
            self._emit(f"for (i = 0; i < {width}; i++) {y}[i] = {expression};")

    def _term(self, operator: str, name: str | None) -> str:
        """Return the second operand of an operator, feature i of a weight; nothing for None."""
        if name is None:
            return ""
        index = "i" if self.program.weights[name].size > 1 else "0"
        return f" {operator} {self._weights.vector(*self._named(name))}[{index}]"


def _operand(expressions: Expressions, values: Mapping[int, str | Ids], one: Instruction, number: int = 0) -> str:
    base, start = expressions.location(one.operands[number])
    return f"{values[base]}{f' + {start}' if start else ''}"


def _columns(weight: tuple[str, np.ndarray], one: Instruction) -> tuple[str, np.ndarray]:
    name, array = weight
    return name, np.concatenate([array[..., start:stop] for start, stop in one.columns], axis=-1)


def _reads_by_products_only(trace: Trace) -> bool:
    """Return True if only products read x."""
    readers = [one for one in trace.instructions if 0 in one.operands]
    return 0 not in trace.outputs and all(one.primitive == "affine" for one in readers)


def _offset(parameter: str, width: int) -> str:
    return f"{parameter} + t" if width == 1 else f"{parameter} + {width} * t"


_RULES: dict[type[op.Operation], Callable[[CSource, Any], None]] = {
    op.Embedding: CSource.embedding,
    op.OneHot: CSource.one_hot,
    op.Dense: CSource.dense,
    op.Elementwise: CSource.elementwise,
    op.Softmax: CSource.softmax,
    op.Scale: CSource.scale,
    op.LayerNormalization: CSource.layer_normalization,
    op.Concatenate: CSource.concatenate,
    op.Add: CSource.add,
    op.Recurrent: CSource.recurrent,
    op.Cell: CSource.cell,
    op.Last: CSource.last,
}
_INSTRUCTIONS: dict[str, Callable[..., None]] = {
    "affine": CSource.affine_instruction,
    "diagonal": CSource.diagonal_instruction,
    "mean": CSource.mean_instruction,
    "concatenate": CSource.concatenate_instruction,
}
_PUBLIC_NAMES = ("init", "step", "run", "sample", "state", "symbols")


# === Texts and language models ===


def comment(text: str) -> str:
    """Return text that can be written in a comment of C."""
    return re.sub(r"[^\w ./:,()=+-]", "_", text, flags=re.ASCII)


def c_string(text: str) -> str:
    """Return a string literal of the UTF-8 bytes of a text."""
    return (
        '"' + "".join(chr(one) if chr(one).isalnum() and one < 128 else f"\\{one:03o}" for one in text.encode()) + '"'
    )


def language_size(program: Program) -> int | None:
    """Return the number of symbols of a program from ids to logits of the next id; None for other programs."""
    if len(program.inputs) != 1 or len(program.outputs) != 1 or program.attributes.get("kind") != "language":
        return None
    (one,), (output,) = program.inputs, program.outputs
    last = {operation.name: operation for operation in program.operations}.get(output)
    fits = one.ids and one.width == program.widths[output] and output not in program.final
    return one.width if fits and not isinstance(last, op.Softmax) else None


def symbols(program: Program) -> list[str] | None:
    """Return the symbols of the ids of a language model, or None if they are bytes or have no text."""
    vocabulary = program.attributes.get("vocabulary")
    if not isinstance(vocabulary, (str, list, tuple)) or not all(isinstance(one, str) for one in vocabulary):
        return None
    return list(vocabulary) if len(vocabulary) == language_size(program) else None
