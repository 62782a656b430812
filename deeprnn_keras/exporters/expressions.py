"""Instructions of a trace as expressions of a programming language.

A value that is used once is written inside the expression that uses it; the others get a name. So that results have the
same bits as those of the instructions, parentheses keep the order of all operations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from deeprnn_keras.equations.trace import Instruction, Trace

COMPARISON, SUM, PRODUCT, NEGATION, ATOM = range(5)

_OPERATORS = {
    "greater": (">", COMPARISON),
    "add": ("+", SUM),
    "subtract": ("-", SUM),
    "multiply": ("*", PRODUCT),
    "divide": ("/", PRODUCT),
}
_READ_ARRAYS = ("affine", "diagonal", "mean", "concatenate")


@dataclass(frozen=True)
class Text:
    """An expression.

    Attributes:
        text: The source text.
        rank: Precedence of its outermost operator.
    """

    text: str
    rank: int = ATOM

    def inside(self, rank: int) -> str:
        """Return the text, in parentheses if its precedence is below `rank`."""
        return self.text if self.rank >= rank else f"({self.text})"


class Syntax(ABC):
    """A language in which expressions are written.

    Attributes:
        functions: {primitive: function call, with {} for each operand}.
    """

    functions: ClassVar[Mapping[str, str]]

    @abstractmethod
    def number(self, value: float) -> str:
        """Return a literal."""

    @abstractmethod
    def value(self, index: int, start: int, width: int) -> str:
        """Return the features `start` to `start + width` of the named value with an index."""

    @abstractmethod
    def truth(self, condition: Text) -> Text:
        """Return a comparison as a number, 1 or 0."""

    @abstractmethod
    def choice(self, condition: str, a: Text, b: Text) -> Text:
        """Return a where a condition holds, and b elsewhere."""


def named(trace: Trace) -> set[int]:
    """Return the indices of the inputs and results that get a name."""
    first = len(trace.inputs)
    widths = trace.widths
    uses = Counter(index for one in trace.instructions for index in one.operands)
    result = {*range(first), *trace.outputs}
    for one in trace.instructions:
        arrays = one.primitive in (*_READ_ARRAYS, "split")
        result.update(index for index in one.operands if arrays or widths[index] != one.width)
    for index, one in enumerate(trace.instructions, start=first):
        if one.primitive in _READ_ARRAYS or uses[index] > 1:
            result.add(index)
    views = {
        index
        for index, one in enumerate(trace.instructions, start=first)
        if one.primitive == "split" or (one.primitive == "constant" and not _is_read_as_array(trace, index))
    }
    return result - views


def _is_read_as_array(trace: Trace, index: int) -> bool:
    readers = (one for one in trace.instructions if index in one.operands)
    return index in trace.outputs or any(one.primitive in (*_READ_ARRAYS, "split") for one in readers)


class Expressions:
    """Expressions of the values of a trace in a language.

    Args:
        trace: The instructions.
        syntax: The language.
    """

    def __init__(self, trace: Trace, syntax: Syntax) -> None:
        self.trace, self.syntax = trace, syntax
        self.named = named(trace)

    def __iter__(self) -> Iterator[tuple[int, Instruction]]:
        """Yield the index and the instruction of each named result, in order."""
        for index, one in enumerate(self.trace.instructions, start=len(self.trace.inputs)):
            if index in self.named:
                yield index, one

    def location(self, index: int) -> tuple[int, int]:
        """Return the named value that contains a value that is named or a split, and its first feature there."""
        if index in self.named:
            return index, 0
        one = self._instruction(index)
        base, start = self.location(one.operands[0])
        return base, start + one.start

    def operand(self, index: int) -> Text:
        """Return the expression of a value, or its name."""
        width = self.trace.widths[index]
        if index not in self.named and self._instruction(index).primitive != "split":
            return self.expression(self._instruction(index))
        base, start = self.location(index)
        return Text(self.syntax.value(base, start, width))

    def expression(self, one: Instruction) -> Text:
        """Return the expression of an elementwise instruction or a constant."""
        syntax = self.syntax
        if one.primitive == "constant":
            return Text(syntax.number(one.number), NEGATION if one.number < 0 else ATOM)
        if one.primitive == "where":
            a, b = (self.operand(index) for index in one.operands[1:])
            return syntax.choice(self._condition(one.operands[0]), a, b)
        operands = [self.operand(index) for index in one.operands]
        if one.primitive == "negate":
            return Text(f"-{operands[0].inside(ATOM)}", NEGATION)
        if one.primitive in syntax.functions:
            return Text(syntax.functions[one.primitive].format(*(operand.text for operand in operands)))
        comparison = self._binary(one.primitive, *operands)
        return syntax.truth(comparison) if one.primitive == "greater" else comparison

    def _binary(self, primitive: str, a: Text, b: Text) -> Text:
        operator, rank = _OPERATORS[primitive]
        return Text(f"{a.inside(max(rank, SUM))} {operator} {b.inside(rank + 1)}", rank)

    def _condition(self, index: int) -> str:
        """Return a condition without its conversion to a number."""
        one = self._instruction(index) if index >= len(self.trace.inputs) else None
        if one is not None and index not in self.named and one.primitive == "greater":
            return self._binary("greater", *(self.operand(operand) for operand in one.operands)).text
        return f"{self.operand(index).inside(SUM)} != {self.syntax.number(0.0)}"

    def _instruction(self, index: int) -> Instruction:
        return self.trace.instructions[index - len(self.trace.inputs)]
