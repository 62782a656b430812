"""`unitwise`: the step of an elementwise recurrence, as operations on single units.

In such a step, unit k of each state depends on unit k of the states and of the blocks of the projected inputs only: it
consists of elementwise primitives and diagonal maps. It can run over all steps of one unit after the other. States that
no step reads, for example the output of a linear recurrent unit, may combine units: they are computed for all steps at
once afterwards. A state of j h features is j states of a unit, like the blocks of the inputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.trace import BINARY, UNARY, Instruction, Trace, trace_step

ELEMENTWISE = (*UNARY, *BINARY, "where")

Part: TypeAlias = tuple[str, int]
"""A value of one unit: "block", "state", "weight", "constant", or "operation", and its number among those."""


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
class UnitWeights:
    """Values of one unit that depend on weights only, so that they are computed once for all steps.

    The values are numbered: stored weights, constants, results of the operations.

    Attributes:
        stored: (name, block) of the diagonal weights and biases.
        constants: The constants.
        operations: The operations, in an order in which each uses earlier values only.
        results: Indices of the values that a step reads.
    """

    stored: tuple[tuple[str, int], ...]
    constants: tuple[float, ...]
    operations: tuple[UnitOperation, ...]
    results: tuple[int, ...]


@dataclass(frozen=True)
class UnitStep:
    """A step of one unit.

    The values are numbered: blocks of the projected inputs, carried states, weights, constants, results of the
    operations.

    Attributes:
        num_blocks: Number of blocks of the projected inputs.
        states: For each state of a unit that is carried from step to step, the index of the state of the equations that
            it is a part of.
        computed_after: Indices of the other states of the equations, which no step reads and which combine units.
        weights: The values that depend on weights only.
        constants: The constants.
        operations: The operations, in an order in which each uses earlier values only.
        new_states: Indices of the carried states after the step.
    """

    num_blocks: int
    states: tuple[int, ...]
    computed_after: tuple[int, ...]
    weights: UnitWeights
    constants: tuple[float, ...]
    operations: tuple[UnitOperation, ...]
    new_states: tuple[int, ...]

    @property
    def num_states(self) -> int:
        """Number of carried states of a unit."""
        return len(self.states)

    @property
    def num_weights(self) -> int:
        """Number of values that depend on weights only."""
        return len(self.weights.results)


def unitwise(
    equations: Equations, activations: Mapping[str, str | Callable[..., Any]] | None = None
) -> UnitStep | None:
    """Return the step of single units, or None if the recurrence is not elementwise or an operation is not a primitive.

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


class UnitOperations:
    """A growing list of operations on parts, in which values times 0 or 1 and sums with 0 are simplified.

    Attributes:
        constants: The constants.
        operations: (primitive, operands) of each operation.
    """

    def __init__(self) -> None:
        self.constants: list[float] = []
        self.operations: list[tuple[str, tuple[Part, ...]]] = []

    def constant(self, number: float) -> Part:
        """Return a constant."""
        if number not in self.constants:
            self.constants.append(number)
        return "constant", self.constants.index(number)

    def apply(self, primitive: str, *operands: Part) -> Part:
        """Append an operation and return its result, or return the operand that equals the result."""
        for number, other in (operands, operands[::-1]) if len(operands) == 2 else ():
            known = self.constants[number[1]] if number[0] == "constant" else None
            if primitive == "multiply" and known == 0.0:  # NaN and infinity times 0 count as 0
                return number
            if (primitive, known) in (("multiply", 1.0), ("add", 0.0)):
                return other
        self.operations.append((primitive, operands))
        return "operation", len(self.operations) - 1

    def needed(self, results: Iterable[Part]) -> list[int]:
        """Return the numbers of the operations that results depend on, in order."""
        wanted = {number for kind, number in results if kind == "operation"}
        for number in reversed(range(len(self.operations))):
            if number in wanted:
                wanted |= {k for kind, k in self.operations[number][1] if kind == "operation"}
        return sorted(wanted)

    def of_weights(self) -> set[int]:
        """Return the numbers of the operations that depend on weights and constants only."""
        found: set[int] = set()
        for number, (_, operands) in enumerate(self.operations):
            if all(kind in ("weight", "constant") or (kind == "operation" and k in found) for kind, k in operands):
                found.add(number)
        return found

    def select(self, numbers: Sequence[int], inputs: Sequence[Part], results: Iterable[Part]) -> Selection:
        """Return some of the operations, with numbered values: inputs, constants, results of the operations.

        Args:
            numbers: Numbers of the operations.
            inputs: Values that are known before.
            results: Values that are read afterwards.
        """
        used = {*results, *(part for number in numbers for part in self.operations[number][1])}
        constants = [k for k in range(len(self.constants)) if ("constant", k) in used]
        parts = [*inputs, *(("constant", k) for k in constants), *(("operation", number) for number in numbers)]
        index = {part: k for k, part in enumerate(parts)}
        selected = [self.operations[number] for number in numbers]
        return Selection(
            tuple(self.constants[k] for k in constants),
            tuple(UnitOperation(name, tuple(index[part] for part in operands)) for name, operands in selected),
            index,
        )


class Selection(NamedTuple):
    """Operations with numbered values.

    Attributes:
        constants: The constants.
        operations: The operations.
        number: {value: its number}.
    """

    constants: tuple[float, ...]
    operations: tuple[UnitOperation, ...]
    number: dict[Part, int]


class _Lowering:
    """Conversion of a trace, whose values are lists of parts of `units` features, or None if they combine units."""

    def __init__(self, trace: Trace, units: int) -> None:
        self.trace, self.units = trace, units
        self.weights: dict[tuple[str, int], int] = {}
        self.list = UnitOperations()

    def lower(self) -> UnitStep:
        projected, *widths = self.trace.inputs
        blocks: list[Part] = [("block", k) for k in range(self._count(projected))]
        states = self._states(widths)
        values: list[list[Part] | None] = [blocks, *states]
        for one in self.trace.instructions:
            values.append(self._instruction(one, [values[index] for index in one.operands]))
        new_states = {k: values[output] for k, output in enumerate(self.trace.outputs)}
        carried = {k: parts for k, parts in new_states.items() if parts is not None}
        read = {*self.trace.outputs, *(index for one in self.trace.instructions for index in one.operands)}
        if not carried or any(1 + k in read for k in new_states.keys() - carried.keys()):
            raise UnitsInteractError("a state that a step reads combines units")
        return self._step(blocks, states, carried)

    def _states(self, widths: Sequence[int]) -> list[list[Part] | None]:
        """Return the parts of each state, numbered over all states, or None for a state that combines units."""
        numbers = itertools.count()
        return [
            None if width % self.units else [("state", next(numbers)) for _ in range(width // self.units)]
            for width in widths
        ]

    def _step(self, blocks: list[Part], before: list[list[Part] | None], carried: dict[int, list[Part]]) -> UnitStep:
        results = [part for parts in carried.values() for part in parts]
        of_weights = self.list.of_weights()
        numbers = [number for number in self.list.needed(results) if number not in of_weights]
        read = [*(part for number in numbers for part in self.list.operations[number][1]), *results]
        weights = [part for part in dict.fromkeys(read) if part[0] == "weight" or _is_operation(part, of_weights)]
        states = [part for k in carried for part in before[k] or ()]
        step = self.list.select(numbers, [*blocks, *states, *weights], results)
        return UnitStep(
            len(blocks),
            tuple(k for k, parts in carried.items() for _ in parts),
            tuple(k for k in range(len(before)) if k not in carried),
            self._of_weights(weights),
            step.constants,
            step.operations,
            tuple(step.number[part] for part in results),
        )

    def _of_weights(self, results: Sequence[Part]) -> UnitWeights:
        stored: list[Part] = [("weight", k) for k in range(len(self.weights))]
        selection = self.list.select(self.list.needed(results), stored, results)
        indices = tuple(selection.number[part] for part in results)
        return UnitWeights(tuple(self.weights), selection.constants, selection.operations, indices)

    def _count(self, width: int) -> int:
        if width % self.units:
            raise UnitsInteractError(f"a value of width {width} in a layer of {self.units} units")
        return width // self.units

    def _instruction(self, one: Instruction, operands: Sequence[list[Part] | None]) -> list[Part] | None:
        """Return the parts of a result, or None if it combines units."""
        known = [operand for operand in operands if operand is not None]
        try:
            return self._parts(one, known) if len(known) == len(operands) else None
        except UnitsInteractError:
            return None

    def _parts(self, one: Instruction, operands: Sequence[list[Part]]) -> list[Part]:
        if one.primitive == "constant":
            return [self.list.constant(one.number)]
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
        return [self.list.apply(one.primitive, *(_part(operand, k) for operand in operands)) for k in range(count)]

    def _diagonal(self, one: Instruction, x: Part) -> list[Part]:
        results = []
        for start, stop in one.columns:
            for block in range(self._count(start), self._count(stop)):
                result = self.list.apply("multiply", x, self._weight(one.weight, block))
                if one.bias is not None:
                    result = self.list.apply("add", result, self._weight(one.bias, block))
                results.append(result)
        return results

    def _weight(self, name: str | None, block: int) -> Part:
        return "weight", self.weights.setdefault((name or "", block), len(self.weights))


def _part(operand: Sequence[Part], k: int) -> Part:
    return operand[k] if len(operand) > 1 else operand[0]


def _is_operation(part: Part, numbers: set[int]) -> bool:
    kind, number = part
    return kind == "operation" and number in numbers
