"""Source text of the Python file of a program."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from typing_extensions import override

from deeprnn_keras.equations.trace import Instruction
from deeprnn_keras.exporters.expressions import ATOM, Expressions, Syntax, Text
from deeprnn_keras.exporters.identifiers import Names
from deeprnn_keras.exporters.numpy_source.fragments import ACTIVATIONS, HELPERS, RESERVED, STANDARD_STEPS
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

OperationT = TypeVar("OperationT", bound=op.Operation)


class NumPySyntax(Syntax):
    """Expressions of NumPy.

    Args:
        names: {index of a value: its identifier}.
        widths: Widths of the values.
    """

    functions: ClassVar[Mapping[str, str]] = {
        "sigmoid": "sigmoid({})",
        "tanh": "np.tanh({})",
        "relu": "np.maximum({}, 0)",
        "hard_sigmoid": "hard_sigmoid({})",
        "exp": "np.exp({})",
        "log": "np.log({})",
        "softplus": "softplus({})",
        "sqrt": "np.sqrt({})",
        "rsqrt": "(1 / np.sqrt({}))",
        "sin": "np.sin({})",
        "cos": "np.cos({})",
        "maximum": "np.maximum({}, {})",
    }

    def __init__(self, names: dict[int, str], widths: tuple[int, ...]) -> None:
        self.names, self.widths = names, widths

    @override
    def number(self, value: float) -> str:
        return repr(value)

    @override
    def value(self, index: int, start: int, width: int) -> str:
        name = self.names[index]
        return name if width == self.widths[index] else f"{name}[..., {start}:{start + width}]"

    @override
    def truth(self, condition: Text) -> Text:
        return Text(f"({condition.text}).astype(np.float32)")

    @override
    def choice(self, condition: str, a: Text, b: Text) -> Text:
        return Text(f"np.where({condition}, {a.text}, {b.text})")


class NumPySource:
    """Source text of a program.

    Args:
        program: The program.
        module: Name of the module, the file without its suffix.
    """

    def __init__(self, program: Program, module: str) -> None:
        self.program, self.module = program, module
        self.names = Names((*RESERVED, *keyword.kwlist, *dir(builtins)))
        self.values = {one.name: self.names[one.name] for one in (*program.inputs, *program.operations)}
        self.arguments = ", ".join(self.values[one.name] for one in program.inputs)

    def text(self) -> str:
        """Return the text of the file."""
        recurrences = [self._recurrence(one) for one in self.program.operations if isinstance(one, op.Recurrence)]
        functions = [*recurrences, self._initial_states(), self._forward(), self._run(), *self._step()]
        body = "\n\n".join(functions)
        helpers: list[str] = []
        for name, definition in reversed(HELPERS.items()):
            if re.search(rf"\b{name}\(", body):
                helpers.insert(0, definition)
        load = 'W = dict(np.load(Path(__file__).with_suffix(".npz")))  # weights by name\n'
        imports = "from pathlib import Path\n\nimport numpy as np\n"
        vocabulary = self.program.attributes.get("vocabulary")
        constants = load if vocabulary is None else f"{load}VOCABULARY = {vocabulary!r}\n"
        head = f"{self._docstring()}\n{imports}\n{constants}"
        return "\n\n".join([head, *helpers, body])

    # === Documentation ===

    def _docstring(self) -> str:
        arrays = [("n, T" if one.ids else f"n, T, {one.width}") for one in self.program.inputs]
        shapes = ", ".join(
            f"{self.values[one.name]}: ({shape}){' of ids' if one.ids else ''}"
            for one, shape in zip(self.program.inputs, arrays, strict=True)
        )
        lines = [
            f"{_plain(self.program.name)}: a trained recurrent network exported by deeprnn-keras. Requires NumPy only.",
            "",
            f"    import {self.module}",
            f"    {self._results()} = {self.module}.run({self.arguments})  # {shapes}",
        ]
        if self.program.looking_ahead is None:
            lines += [
                f"    states = {self.module}.initial_states(n)",
                f"    {self._results()}, states = {self.module}.step({self.arguments}, states)  # one step, without T",
            ]
        lines += ["", f"The weights are in {self.module}.npz beside this file. Symbols: batch size n, time steps T."]
        return '"""' + "\n".join(lines) + '\n"""\n'

    def _results(self) -> str:
        return ", ".join(self.values[name] for name in self.program.outputs)

    # === Functions ===

    def _initial_states(self) -> str:
        states = [f"        {name!r}: {_initial_state(state)}," for name, state in self.program.states.items()]
        body = "\n".join(["    return {", *states, "    }"]) if states else "    return {}"
        return f'def initial_states(n):\n    """Return the states before the first step, by name."""\n{body}\n'

    def _forward(self) -> str:
        lines = [f"def forward({self.arguments}, states):"]
        lines += [
            '    """Return the outputs for sequences as a tuple, and the states after them."""',
            "    new_states = {}",
        ]
        for one in self.program.inputs:
            if one.ids:
                name = self.values[one.name]
                lines.append(f'    check_ids("{name}", {name}, {one.width})')
        for operation in self.program.operations:
            lines += [f"    {line}" for line in _RULES[type(operation)](self, operation)]
        return "\n".join([*lines, f"    return ({self._results()},), new_states\n"])

    def _run(self) -> str:
        arrays = [f"    {line}" for line in self._as_arrays()]
        first = self.values[self.program.inputs[0].name]
        single = "[0]" if len(self.program.outputs) == 1 else ""
        return "\n".join(
            [
                f"def run({self.arguments}):",
                '    """Return the outputs for whole sequences."""',
                *arrays,
                f"    return forward({self.arguments}, initial_states(len({first})))[0]{single}\n",
            ]
        )

    def _step(self) -> list[str]:
        """Return the function of one step; nothing if the program needs whole sequences."""
        if self.program.looking_ahead is not None:
            return []
        arrays = [f"    {line}" for line in self._as_arrays()]
        arguments = ", ".join(f"{self.values[one.name]}[:, None]" for one in self.program.inputs)
        unpacked = self._results() + ("," if len(self.program.outputs) == 1 else "")
        results = ", ".join(
            self.values[name] if name in self.program.final else f"{self.values[name]}[:, 0]"
            for name in self.program.outputs
        )
        return [
            "\n".join(
                [
                    f"def step({self.arguments}, states):",
                    '    """Return the outputs of one step and the states after it."""',
                    *arrays,
                    f"    ({unpacked}), states = forward({arguments}, states)",
                    f"    return {results}, states\n",
                ]
            )
        ]

    def _as_arrays(self) -> Iterator[str]:
        for one in self.program.inputs:
            name = self.values[one.name]
            yield f"{name} = np.asarray({name}{'' if one.ids else ', np.float32'})"

    # === Operations ===

    def _reads(self, operation: op.Operation) -> list[str]:
        return [self.values[name] for name in operation.inputs]

    def _assign(self, operation: op.Operation, expression: str) -> list[str]:
        return [f"{self.values[operation.name]} = {expression}"]

    def embedding(self, operation: op.Embedding) -> list[str]:
        """Return the lines of an embedding."""
        return self._assign(operation, f"{_weight(operation.weight)}[{self._reads(operation)[0]}]")

    def one_hot(self, operation: op.OneHot) -> list[str]:
        """Return the lines of one-hot vectors."""
        return self._assign(operation, f"np.eye({operation.width}, dtype=np.float32)[{self._reads(operation)[0]}]")

    def dense(self, operation: op.Dense) -> list[str]:
        """Return the lines of a product."""
        kernel = _weight(operation.kernel) + (".T" if operation.transposed else "")
        return self._assign(operation, f"{self._reads(operation)[0]} @ {kernel}{_plus(operation.bias)}")

    def elementwise(self, operation: op.Elementwise) -> list[str]:
        """Return the lines of an activation."""
        trace = operation.function
        names = {0: self._reads(operation)[0]}
        expressions = Expressions(trace, NumPySyntax(names, trace.widths))
        return [
            *_instructions(expressions, names, {}, self.names),
            *self._assign(operation, expressions.operand(trace.outputs[0]).text),
        ]

    def softmax(self, operation: op.Softmax) -> list[str]:
        """Return the lines of a softmax."""
        function = "log_softmax" if operation.logarithm else "softmax"
        return self._assign(operation, f"{function}({self._reads(operation)[0]})")

    def scale(self, operation: op.Scale) -> list[str]:
        """Return the lines of a scaling."""
        return self._assign(operation, self._reads(operation)[0] + _times(operation.scale) + _plus(operation.offset))

    def layer_normalization(self, operation: op.LayerNormalization) -> list[str]:
        """Return the lines of a normalization."""
        x = self._reads(operation)[0]
        centered = f"{x} - {x}.mean(-1, keepdims=True)" if operation.centered else x
        scaled = f"normalized({centered}, {operation.epsilon!r})"
        return self._assign(operation, scaled + _times(operation.gamma) + _plus(operation.beta))

    def concatenate(self, operation: op.Concatenate) -> list[str]:
        """Return the lines of a concatenation."""
        return self._assign(operation, f"np.concatenate([{', '.join(self._reads(operation))}], axis=-1)")

    def add(self, operation: op.Add) -> list[str]:
        """Return the lines of a sum."""
        return self._assign(operation, " + ".join(self._reads(operation)))

    def reverse(self, operation: op.Reverse) -> list[str]:
        """Return the lines of a reversal."""
        return self._assign(operation, f"{self._reads(operation)[0]}[:, ::-1]")

    def last(self, operation: op.Last) -> list[str]:
        """Return the lines of the selection of the last step."""
        return self._assign(operation, f"{self._reads(operation)[0]}[:, -1]")

    # === Recurrences ===

    def recurrence(self, operation: op.Recurrence) -> list[str]:
        """Return the lines that apply the function of a recurrence to a sequence."""
        name = self.values[operation.name]
        function = self.names[f"{operation.name} recurrence"]
        flip = "[:, ::-1]" if operation.reverse else ""
        states = [f"states[{state.name!r}]" for state in operation.states]
        new = [f"new_states[{state.name!r}]" for state in operation.states]
        scan = "scan" if operation.rate == 1 else "dilated_scan"
        call = f"{scan}({', '.join([function, self._reads(operation)[0] + flip, *states])})"
        comma = "," if len(new) == 1 else ""
        lines = [f"{name}, ({', '.join(new)}{comma}) = {call}"]
        return lines + ([f"{name} = {name}[:, ::-1]"] if flip else [])

    def _recurrence(self, operation: op.Recurrence) -> str:
        """Return the function of one step of a recurrence."""
        states = [state.name.rpartition("/")[2] for state in operation.states]
        locals_ = Names((*RESERVED, *keyword.kwlist, "x"))
        identifiers = [locals_[state] for state in states]
        if isinstance(operation, op.Recurrent):
            document, lines = STANDARD_STEPS[operation.cell][0], _standard_lines(operation)
        else:
            assert isinstance(operation, op.Cell)
            document = "Return the states after a step, the output first."
            lines = _cell_lines(operation, identifiers, locals_)
        head = f"def {self.names[f'{operation.name} recurrence']}({', '.join(['x', *identifiers])}):"
        return "\n".join([head, f'    """{document}"""', *(f"    {line}" for line in lines)]) + "\n"


def _initial_state(state: op.State) -> str:
    """Return the expression of a state before the first step of n sequences."""
    shape = ", ".join(map(str, state.shape(1)[1:]))
    if state.initial is None:
        return f"np.zeros((n, {shape}), np.float32)"
    return f"np.broadcast_to(W[{state.initial!r}], (n, {shape}))"


def _cell_lines(operation: op.Cell, states: list[str], identifiers: Names) -> list[str]:
    trace = operation.step
    names = dict(enumerate(["x", *states]))
    expressions = Expressions(trace, NumPySyntax(names, trace.widths))
    lines = _instructions(expressions, names, dict(operation.weights), identifiers)
    results = [expressions.operand(index).text for index in trace.outputs]
    return [*lines, f"return {', '.join(results)}{',' if len(results) == 1 else ''}"]


def _instructions(
    expressions: Expressions, names: dict[int, str], weights: dict[str, str], identifiers: Names
) -> list[str]:
    """Return one line for each named result; add its name to `names`."""
    lines = []
    for index, one in expressions:
        names[index] = identifiers.new(f"v{index}")
        lines.append(f"{names[index]} = {_result(expressions, one, weights)}")
    return lines


def _result(expressions: Expressions, one: Instruction, weights: dict[str, str]) -> str:
    if one.primitive not in ("affine", "diagonal", "mean", "concatenate"):
        return expressions.expression(one).text
    operands = [expressions.operand(index) for index in one.operands]
    if one.primitive == "mean":
        return f"{operands[0].inside(ATOM)}.mean(-1, keepdims=True)"
    if one.primitive == "concatenate":
        return f"np.concatenate([{', '.join(operand.text for operand in operands)}], axis=-1)"
    weight, bias = _columns(weights[one.weight or ""], one), ""
    if one.bias is not None:
        bias = f" + {_columns(weights[one.bias], one)}"
    x = operands[0].text
    if one.primitive == "affine":
        return f"{x} @ {weight}{bias}"
    copies = one.width // expressions.trace.widths[one.operands[0]]
    return f"{x if copies == 1 else f'np.tile({x}, {copies})'} * {weight}{bias}"


def _columns(name: str, one: Instruction) -> str:
    parts = [f"{_weight(name)}[..., {start}:{stop}]" for start, stop in one.columns]
    return parts[0] if len(parts) == 1 else f"np.concatenate([{', '.join(parts)}], axis=-1)"


def _standard_lines(operation: op.Recurrent) -> list[str]:
    bias = operation.bias
    rows = ["", ""] if bias is None else [f" + {_weight(bias)}[{row}]" for row in (0, 1)]
    body = STANDARD_STEPS[operation.cell][1].format(
        W=_weight(operation.kernel),
        U=_weight(operation.recurrent_kernel),
        b=_plus(bias),
        b0=rows[0],
        b1=rows[1],
        two=2 * operation.width,
    )
    functions = {"A": operation.activation, "S": operation.recurrent_activation}
    for letter, name in functions.items():
        body = re.sub(rf"\b{letter}\(([^()]*)\)", lambda match, f=ACTIVATIONS[name]: _called(f, match[1]), body)
    return [line.removeprefix("    ") for line in body.splitlines()]


def _called(function: str, argument: str) -> str:
    """Return a function call; an activation that is the identity returns its argument."""
    return (f"({argument})" if " " in argument else argument) if function == "{}" else function.format(argument)


def _weight(name: str) -> str:
    return f"W[{name!r}]"


def _plus(name: str | None) -> str:
    return "" if name is None else f" + {_weight(name)}"


def _times(name: str | None) -> str:
    return "" if name is None else f" * {_weight(name)}"


def _plain(text: str) -> str:
    """Return text that can be written in a docstring."""
    return text.encode("unicode_escape").decode("ascii").replace('"', "'").replace("\\", "/")


_RULES: dict[type[op.Operation], Callable[[NumPySource, Any], list[str]]] = {
    op.Embedding: NumPySource.embedding,
    op.OneHot: NumPySource.one_hot,
    op.Dense: NumPySource.dense,
    op.Elementwise: NumPySource.elementwise,
    op.Softmax: NumPySource.softmax,
    op.Scale: NumPySource.scale,
    op.LayerNormalization: NumPySource.layer_normalization,
    op.Concatenate: NumPySource.concatenate,
    op.Add: NumPySource.add,
    op.Recurrent: NumPySource.recurrence,
    op.Cell: NumPySource.recurrence,
    op.Reverse: NumPySource.reverse,
    op.Last: NumPySource.last,
}
