"""`first_order`: a step of single units that is linear in its states, as coefficients that depend on the inputs only.

    s_t[i] = sum over j of A_t[i, j] s_{t-1}[j] + b_t[i]

A and b can be computed for all steps at once, and composing steps is associative, so that the steps need not be
computed one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from deeprnn_keras.equations.unitwise import Part, UnitOperation, UnitOperations, UnitStep, UnitWeights


@dataclass(frozen=True)
class FirstOrderStep:
    """A linear step of one unit.

    The values are numbered: blocks of the projected inputs, weights, constants, results of the operations.

    Attributes:
        step: The step.
        constants: The constants.
        operations: The operations that compute the coefficients.
        coefficients: Indices of A[i, j], None for 0.
        offsets: Indices of b[i], None for 0.
    """

    step: UnitStep
    constants: tuple[float, ...]
    operations: tuple[UnitOperation, ...]
    coefficients: tuple[tuple[int | None, ...], ...]
    offsets: tuple[int | None, ...]

    @property
    def weights(self) -> UnitWeights:
        """The values that depend on weights only."""
        return self.step.weights


def first_order(step: UnitStep | None) -> FirstOrderStep | None:
    """Return the coefficients of a step, or None if it is not linear in its states.

    >>> from deeprnn_keras.equations.first_order import first_order
    >>> from deeprnn_keras.equations.independent import IndependentRNN
    >>> from deeprnn_keras.equations.minimal_parallel import MinimalGRU
    >>> from deeprnn_keras.equations.unitwise import unitwise
    >>> first_order(unitwise(MinimalGRU(4))).coefficients
    ((2,),)
    >>> first_order(unitwise(IndependentRNN(4))) is None
    True
    """
    try:
        return None if step is None else _Linearization(step).result()
    except NonlinearError:
        return None


class NonlinearError(ValueError):
    """A step is not linear in its states."""


@dataclass
class _Form:
    """A value as a linear function of the states: a constant term and coefficients, None and missing for 0."""

    constant: Part | None
    coefficients: dict[int, Part]


class _Linearization:
    """Conversion of the values of a step to linear functions of its states."""

    def __init__(self, step: UnitStep) -> None:
        self.step = step
        self.list = UnitOperations()
        self.inputs: list[Part] = [("block", k) for k in range(step.num_blocks)]
        self.inputs += [("weight", k) for k in range(step.num_weights)]
        one = self.list.constant(1.0)
        states = [_Form(None, {k: one}) for k in range(step.num_states)]
        known = [_Form(part, {}) for part in self.inputs]
        self.forms: list[_Form] = [*known[: step.num_blocks], *states, *known[step.num_blocks :]]
        self.forms += [_Form(self.list.constant(number), {}) for number in step.constants]

    def result(self) -> FirstOrderStep:
        for one in self.step.operations:
            self.forms.append(self._apply(one.primitive, [self.forms[index] for index in one.operands]))
        results = [self.forms[index] for index in self.step.new_states]
        parts = [part for form in results for part in (form.constant, *form.coefficients.values()) if part is not None]
        selection = self.list.select(self.list.needed(parts), self.inputs, parts)

        def index(part: Part | None) -> int | None:
            return None if part is None else selection.index[part]

        states = range(self.step.num_states)
        return FirstOrderStep(
            self.step,
            selection.constants,
            selection.operations,
            tuple(tuple(index(form.coefficients.get(j)) for j in states) for form in results),
            tuple(index(form.constant) for form in results),
        )

    def _apply(self, primitive: str, operands: Sequence[_Form]) -> _Form:
        if primitive in _LINEAR:
            return _LINEAR[primitive](self, *operands)
        return self._of_constants(primitive, *operands)

    def _of_constants(self, primitive: str, *operands: _Form) -> _Form:
        if any(operand.coefficients for operand in operands):
            raise NonlinearError(primitive)
        return _Form(self.list.apply(primitive, *(self._number(operand.constant) for operand in operands)), {})

    def _number(self, part: Part | None) -> Part:
        return self.list.constant(0.0) if part is None else part

    def _each_term(self, function: Callable[[Part], Part], form: _Form) -> _Form:
        """Apply a linear function of one operand."""
        constant = None if form.constant is None else function(form.constant)
        return _Form(constant, {state: function(part) for state, part in form.coefficients.items()})

    def _negate(self, a: _Form) -> _Form:
        return self._each_term(lambda part: self.list.apply("negate", part), a)

    def _add(self, a: _Form, b: _Form) -> _Form:
        def total(one: Part | None, other: Part | None) -> Part | None:
            return one if other is None else other if one is None else self.list.apply("add", one, other)

        states = dict.fromkeys((*a.coefficients, *b.coefficients))
        sums = {state: total(a.coefficients.get(state), b.coefficients.get(state)) for state in states}
        return _Form(total(a.constant, b.constant), {k: part for k, part in sums.items() if part is not None})

    def _multiply(self, a: _Form, b: _Form) -> _Form:
        factor, linear = (a, b) if not a.coefficients else (b, a)
        if factor.coefficients:
            raise NonlinearError("multiply")
        if factor.constant is None:
            return _Form(None, {})
        return self._each_term(lambda part: self.list.apply("multiply", factor.constant, part), linear)

    def _divide(self, a: _Form, b: _Form) -> _Form:
        if b.coefficients:
            raise NonlinearError("divide")
        return self._each_term(lambda part: self.list.apply("divide", part, self._number(b.constant)), a)

    def _where(self, condition: _Form, a: _Form, b: _Form) -> _Form:
        if condition.coefficients:
            raise NonlinearError("where")
        chosen = self._number(condition.constant)

        def choice(one: Part | None, other: Part | None) -> Part:
            return self.list.apply("where", chosen, self._number(one), self._number(other))

        states = dict.fromkeys((*a.coefficients, *b.coefficients))
        coefficients = {state: choice(a.coefficients.get(state), b.coefficients.get(state)) for state in states}
        return _Form(choice(a.constant, b.constant), coefficients)


_LINEAR: dict[str, Callable[..., Any]] = {
    "negate": _Linearization._negate,
    "add": _Linearization._add,
    "subtract": lambda lowering, a, b: lowering._add(a, lowering._negate(b)),
    "multiply": _Linearization._multiply,
    "divide": _Linearization._divide,
    "where": _Linearization._where,
}
"""{primitive that may act on values with states: its rule}."""
