"""`first_order`: a step of single units that is linear in its states, as coefficients that depend on the inputs only.

    s_t[i] = sum over j of A_t[i, j] s_{t-1}[j] + b_t[i]

A and b can be computed for all steps at once, and composing steps is associative, so that the steps need not be
computed one after the other. A state whose new value depends on no state, for example the last input of a convolution
over two steps, is known before; the other states need not be linear in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from deeprnn_keras.equations.unitwise import Part, UnitOperation, UnitOperations, UnitStep


@dataclass(frozen=True)
class FirstOrderStep:
    """A linear step of one unit.

    The values are numbered as in the step, without operations of the step: blocks of the projected inputs, states,
    weights, constants, results of the operations. Of the states, only those in `known` are read.

    Attributes:
        step: The step.
        known: Indices of the states whose new values depend on no state.
        constants: The constants.
        operations: The operations that compute the coefficients.
        coefficients: {(i, j): index of A[i, j]}; the others are 0.
        offsets: Indices of b[i], None for 0.
    """

    step: UnitStep
    known: tuple[int, ...]
    constants: tuple[float, ...]
    operations: tuple[UnitOperation, ...]
    coefficients: dict[tuple[int, int], int]
    offsets: tuple[int | None, ...]


def first_order(step: UnitStep | None) -> FirstOrderStep | None:
    """Return the coefficients of a step, or None if it is not linear in its states.

    >>> from deeprnn_keras.equations.first_order import first_order
    >>> from deeprnn_keras.equations.independent import IndependentRNN
    >>> from deeprnn_keras.equations.minimal_parallel import MinimalGRU
    >>> from deeprnn_keras.equations.unitwise import unitwise
    >>> list(first_order(unitwise(MinimalGRU(4))).coefficients)
    [(0, 0)]
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
    """A value as a linear function of the states: a constant term, None for 0, and the coefficients that are not 0."""

    constant: Part | None
    coefficients: dict[int, Part]


class _Linearization:
    """Conversion of the values of a step to linear functions of its states."""

    def __init__(self, step: UnitStep) -> None:
        self.step = step
        self.known = _states_without_states(step)
        self.list = UnitOperations()
        blocks, states, weights = (
            [(kind, k) for k in range(count)]
            for kind, count in (("block", step.num_blocks), ("state", step.num_states), ("weight", step.num_weights))
        )
        self.inputs: list[Part] = [*blocks, *states, *weights]
        self.forms = [_Form(part, {}) for part in self.inputs]
        for k in set(range(step.num_states)) - set(self.known):
            self.forms[step.num_blocks + k] = _Form(None, {k: self.list.constant(1.0)})
        self.forms += [_Form(self.list.constant(number), {}) for number in step.constants]

    def result(self) -> FirstOrderStep:
        for one in self.step.operations:
            self.forms.append(self._apply(one.primitive, [self.forms[index] for index in one.operands]))
        results = [self.forms[index] for index in self.step.new_states]
        parts = [part for form in results for part in (form.constant, *form.coefficients.values()) if part is not None]
        selection = self.list.select(self.list.needed(parts), self.inputs, parts)
        return FirstOrderStep(
            self.step,
            self.known,
            selection.constants,
            selection.operations,
            {(i, j): selection.number[part] for i, form in enumerate(results) for j, part in form.coefficients.items()},
            tuple(None if form.constant is None else selection.number[form.constant] for form in results),
        )

    def _apply(self, primitive: str, operands: Sequence[_Form]) -> _Form:
        if primitive in _LINEAR:
            return _LINEAR[primitive](self, *operands)
        if any(operand.coefficients for operand in operands):
            raise NonlinearError(primitive)
        return _Form(self.list.apply(primitive, *(self._number(operand.constant) for operand in operands)), {})

    def _number(self, part: Part | None) -> Part:
        return self.list.constant(0.0) if part is None else part

    @staticmethod
    def _each_term(function: Callable[[Part], Part], form: _Form) -> _Form:
        """Apply a linear function of one operand."""
        constant = None if form.constant is None else function(form.constant)
        return _Form(constant, {state: function(part) for state, part in form.coefficients.items()})

    def negate(self, a: _Form) -> _Form:
        return self._each_term(lambda part: self.list.apply("negate", part), a)

    def add(self, a: _Form, b: _Form) -> _Form:
        def total(one: Part | None, other: Part | None) -> Part | None:
            return one if other is None else other if one is None else self.list.apply("add", one, other)

        states = dict.fromkeys((*a.coefficients, *b.coefficients))
        sums = {state: total(a.coefficients.get(state), b.coefficients.get(state)) for state in states}
        return _Form(total(a.constant, b.constant), {k: part for k, part in sums.items() if part is not None})

    def subtract(self, a: _Form, b: _Form) -> _Form:
        return self.add(a, self.negate(b))

    def multiply(self, a: _Form, b: _Form) -> _Form:
        factor, linear = (a, b) if not a.coefficients else (b, a)
        if factor.coefficients:
            raise NonlinearError("multiply")
        number = self._number(factor.constant)
        return self._each_term(lambda part: self.list.apply("multiply", number, part), linear)

    def divide(self, a: _Form, b: _Form) -> _Form:
        if b.coefficients:
            raise NonlinearError("divide")
        return self._each_term(lambda part: self.list.apply("divide", part, self._number(b.constant)), a)

    def where(self, condition: _Form, a: _Form, b: _Form) -> _Form:
        if condition.coefficients:
            raise NonlinearError("where")
        chosen = self._number(condition.constant)

        def choice(one: Part | None, other: Part | None) -> Part:
            return self.list.apply("where", chosen, self._number(one), self._number(other))

        states = dict.fromkeys((*a.coefficients, *b.coefficients))
        coefficients = {state: choice(a.coefficients.get(state), b.coefficients.get(state)) for state in states}
        return _Form(choice(a.constant, b.constant), coefficients)


_LINEAR: dict[str, Callable[..., Any]] = {
    name: getattr(_Linearization, name) for name in ("negate", "add", "subtract", "multiply", "divide", "where")
}
"""{primitive that may act on values with states: its rule}."""


def _states_without_states(step: UnitStep) -> tuple[int, ...]:
    """Return the indices of the states whose new values depend on no state."""
    first_operation = step.num_blocks + step.num_states + step.num_weights + len(step.constants)
    depends = [step.num_blocks <= k < step.num_blocks + step.num_states for k in range(first_operation)]
    for one in step.operations:
        depends.append(any(depends[index] for index in one.operands))
    return tuple(k for k, index in enumerate(step.new_states) if not depends[index])
