"""`unitwise`: the step of a recurrence whose units do not see each other, as operations on single units.

In such a step, unit k of each state depends on unit k of the states and of the blocks of the projected inputs only: it
consists of elementwise primitives and diagonal maps. It can run over all steps of one unit after the other. A state of
j h features is j states of a unit, like the blocks of the inputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.trace import BINARY, UNARY, Instruction, Trace, trace_step

ELEMENTWISE = (*UNARY, *BINARY, "where")


class UnitsInteractError(ValueError):
    """A step has a primitive that combines units."""


@dataclass(frozen=True)
class UnitOperation:
    """An elementwise primitive on values of one unit.

    Attributes:
        primitive: One of `ELEMENTWISE`.
        operands: Indices of values.
    """

    primitive: str
    operands: tuple[int, ...]


@dataclass(frozen=True)
class UnitStep:
    """A step of one unit.

    The values are numbered: blocks of the projected inputs, states, weights, constants, results of the operations.

    Attributes:
        num_blocks: Number of blocks of the projected inputs.
        num_states: Number of states of a unit, the output first: the sum of the widths of the states, divided by h.
        weights: (name, block) of the diagonal weights and biases.
        constants: The constants.
        operations: The operations, in an order in which each uses earlier values only.
        new_states: Indices of the states after the step.
    """

    num_blocks: int
    num_states: int
    weights: tuple[tuple[str, int], ...]
    constants: tuple[float, ...]
    operations: tuple[UnitOperation, ...]
    new_states: tuple[int, ...]


def unitwise(
    equations: Equations, activations: Mapping[str, str | Callable[..., Any]] | None = None
) -> UnitStep | None:
    """Return the step of single units, or None if units see each other or an operation is not a primitive.

    Args:
        equations: The recurrence.
        activations: {name in f: name of a Keras activation, or function of a value}; the default activations are
            those of the equations.

    >>> from deeprnn_keras.equations import LSTMEquations
    >>> from deeprnn_keras.equations.independent import IndependentRNN
    >>> from deeprnn_keras.equations.unitwise import unitwise
    >>> [one.primitive for one in unitwise(IndependentRNN(4)).operations]
    ['multiply', 'add', 'relu']
    >>> unitwise(LSTMEquations(4)) is None
    True
    """
    try:
        return _Lowering(trace_step(equations, activations), equations.units).lower()
    except Exception:  # user-defined equations and activations may raise any; `untraceable_reason` says which
        return None


class _Lowering:
    """Conversion of a trace, whose values are lists of parts of `units` features."""

    def __init__(self, trace: Trace, units: int) -> None:
        self.trace, self.units = trace, units
        self.weights: dict[tuple[str, int], int] = {}
        self.constants: list[float] = []
        self.operations: list[tuple[str, list[tuple[str, int]]]] = []

    def lower(self) -> UnitStep:
        projected, *states = self.trace.inputs
        values = [[("block", k) for k in range(self._count(projected))]]
        values += self._states(states)
        for one in self.trace.instructions:
            values.append(self._instruction(one, [values[index] for index in one.operands]))
        starts = {"block": 0, "state": len(values[0])}
        starts["weight"] = starts["state"] + sum(map(self._count, states))
        starts["constant"] = starts["weight"] + len(self.weights)
        starts["operation"] = starts["constant"] + len(self.constants)

        def index(part: tuple[str, int]) -> int:
            return starts[part[0]] + part[1]

        return UnitStep(
            len(values[0]),
            starts["weight"] - starts["state"],
            tuple(self.weights),
            tuple(self.constants),
            tuple(UnitOperation(name, tuple(map(index, operands))) for name, operands in self.operations),
            tuple(index(part) for output in self.trace.outputs for part in values[output]),
        )

    def _states(self, widths: Sequence[int]) -> list[list[tuple[str, int]]]:
        """Return the parts of each state, numbered over all states."""
        counts = [self._count(width) for width in widths]
        if counts[0] > 1:
            raise UnitsInteractError(f"an output of width {widths[0]} in a layer of {self.units} units")
        numbers = itertools.count()
        return [[("state", next(numbers)) for _ in range(count)] for count in counts]

    def _count(self, width: int) -> int:
        if width % self.units:
            raise UnitsInteractError(f"a value of width {width} in a layer of {self.units} units")
        return width // self.units

    def _instruction(self, one: Instruction, operands: Sequence[list[tuple[str, int]]]) -> list[tuple[str, int]]:
        if one.primitive == "constant":
            self.constants.append(one.number)
            return [("constant", len(self.constants) - 1)]
        if one.primitive == "concatenate":
            return [part for operand in operands for part in operand]
        if one.primitive == "split":
            start = self._count(one.start)
            return operands[0][start : start + self._count(one.width)]
        if one.primitive == "diagonal":
            return self._diagonal(one, operands[0][0])
        if one.primitive not in ELEMENTWISE:
            raise UnitsInteractError(one.primitive)
        count = max(map(len, operands))
        return [self._apply(one.primitive, [self._part(operand, k) for operand in operands]) for k in range(count)]

    @staticmethod
    def _part(operand: list[tuple[str, int]], k: int) -> tuple[str, int]:
        return operand[k] if len(operand) > 1 else operand[0]

    def _diagonal(self, one: Instruction, x: tuple[str, int]) -> list[tuple[str, int]]:
        results = []
        for start, stop in one.columns:
            for block in range(self._count(start), self._count(stop)):
                result = self._apply("multiply", [x, self._weight(one.weight, block)])
                if one.bias is not None:
                    result = self._apply("add", [result, self._weight(one.bias, block)])
                results.append(result)
        return results

    def _weight(self, name: str | None, block: int) -> tuple[str, int]:
        return "weight", self.weights.setdefault((name or "", block), len(self.weights))

    def _apply(self, primitive: str, operands: list[tuple[str, int]]) -> tuple[str, int]:
        self.operations.append((primitive, operands))
        return "operation", len(self.operations) - 1
