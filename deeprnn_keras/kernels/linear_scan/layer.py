"""A layer that is linear in its states, on any backend."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from deeprnn_keras._types import Tensor
from deeprnn_keras.equations import Blocks
from deeprnn_keras.equations.first_order import FirstOrderStep, first_order
from deeprnn_keras.equations.unitwise import unitwise
from deeprnn_keras.kernels.all_steps import (
    Evaluation,
    constants,
    evaluate,
    held,
    joined_states,
    shifted,
    unit_states,
    weight_values,
)
from deeprnn_keras.kernels.contract import LayerCall, LayerResult
from deeprnn_keras.kernels.linear_scan.recurrence import Matrix, solve
from deeprnn_keras.kernels.machine import this_machine
from deeprnn_keras.kernels.native.stack import layer_result


def run_layer(call: LayerCall, sequences: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> LayerResult:
    """Return the last output (n, h), the outputs (n, T, h) or the last one (n, 1, h), and the final states of a layer.

    Args:
        call: The layer.
        sequences: (n, T, d).
        states: Initial states, (n, width) each.
        mask: (n, T), or None.
    """
    dtype = "float64" if call.compute_dtype == "float64" else "float32"
    stored = {name: ops.cast(weight, dtype) for name, weight in call.weights().items()}
    x = ops.cast(call.input_dropout(sequences), dtype)
    x = ops.flip(x, 1) if call.go_backwards else x
    mask = None if mask is None else ops.cast(mask, "bool")
    reading_mask = ops.flip(mask, 1) if mask is not None and call.go_backwards else mask
    initial = [ops.cast(state, dtype) for state in states]
    after = _Layer(call, stored, dtype).states(x, initial, reading_mask)
    outputs = ops.flip(after[0], 1) if call.go_backwards else after[0]
    return layer_result(call, outputs if call.return_sequences else None, [one[:, -1] for one in after], mask)


class _Layer:
    """The computation of a layer from its weights, in the order in which it reads the steps."""

    def __init__(self, call: LayerCall, stored: dict[str, Tensor], dtype: str) -> None:
        self.linear, self.stored, self.dtype = _linear_step(call), stored, dtype
        self.evaluation = Evaluation(call, stored)

    def states(self, x: Tensor, initial: Sequence[Tensor], mask: Tensor | None) -> list[Tensor]:
        """Return all states after all steps, (n, T, width) each."""
        step, units = self.linear.step, self.evaluation.equations.units
        projected = self.evaluation.project(x)
        before = unit_states(step, initial, units)
        states = joined_states(step, self._carried(projected, before, mask))
        if step.computed_after:
            others = self.evaluation.states_after(step, projected, states, initial)
            states |= {index: _held(state, initial[index], mask) for index, state in others.items()}
        return [states[index] for index in range(len(initial))]

    def _carried(self, projected: Blocks, initial: Sequence[Tensor], mask: Tensor | None) -> list[Tensor]:
        """Return the carried states of units after all steps, (n, T, h) each."""
        linear, units = self.linear, initial[0].shape[-1]
        blocks = ops.split(projected.tensor, linear.step.num_blocks, -1)
        weights = weight_values(linear.step.weights, self.stored, units, self.dtype)
        others = [*weights, *constants(linear.constants, self.dtype)]
        zeros = ops.zeros_like(blocks[0])
        before = [zeros] * len(initial)
        if linear.known:  # their new values depend on no state, so that they are right for any states before
            after = evaluate(linear.operations, [*blocks, *before, *others])
            for k in linear.known:
                before[k] = shifted(_held(_new_value(after, linear.offsets[k], zeros), initial[k], mask), initial[k])
        values = evaluate(linear.operations, [*blocks, *before, *others])
        a = {place: _vector_or_steps(values[index], units) for place, index in linear.coefficients.items()}
        return _solved(a, [_new_value(values, index, zeros) for index in linear.offsets], initial, mask)


def _linear_step(call: LayerCall) -> FirstOrderStep:
    assert call.recurrence is not None  # the scan supports cells with equations only
    key = ("linear_scan", call.recurrence)
    if key not in call.cache:
        call.cache[key] = first_order(unitwise(call.recurrence.equations, dict(call.recurrence.activations)))
    return call.cache[key]


def _vector_or_steps(value: Tensor, units: int) -> Tensor:
    return value if len(value.shape) > 1 else ops.broadcast_to(value, (units,))


def _new_value(values: Sequence[Tensor], index: int | None, zeros: Tensor) -> Tensor:
    """Return an offset of all steps, (n, T, h)."""
    if index is None:
        return zeros
    return values[index] if len(values[index].shape) > 1 else values[index] + zeros


def _held(after: Tensor, initial: Tensor, mask: Tensor | None) -> Tensor:
    return after if mask is None else held(after, initial, mask)


def _solved(a: Matrix, b: Sequence[Tensor], initial: Sequence[Tensor], mask: Tensor | None) -> list[Tensor]:
    """Return all carried states after all steps; those that no step reads are computed from the others."""
    read = sorted({j for _, j in a})
    solution: dict[int, Tensor] = {}
    if read:
        place = {state: k for k, state in enumerate(read)}
        among_read = {(place[i], place[j]): one for (i, j), one in a.items() if i in place}
        terms = [b[i] for i in read]
        if mask is not None:
            among_read, terms = _unchanged_where_masked(among_read, terms, mask[:, :, None])
        known = solve(among_read, terms, [initial[i] for i in read], this_machine().gpu)
        solution = dict(zip(read, known, strict=True))
    before = {state: shifted(solution[state], initial[state]) for state in read}
    for i in set(range(len(b))) - set(read):
        after = sum((one * before[j] for (row, j), one in a.items() if row == i), b[i])
        solution[i] = _held(after, initial[i], mask)
    return [solution[i] for i in range(len(b))]


def _unchanged_where_masked(a: Matrix, b: Sequence[Tensor], valid: Tensor) -> tuple[Matrix, list[Tensor]]:
    """Return coefficients and terms with which the states do not change at masked steps."""
    zero, one = (ops.convert_to_tensor(number, b[0].dtype) for number in (0.0, 1.0))
    entries = dict.fromkeys([(i, i) for i in range(len(b))], zero) | dict(a)
    masked = {(i, j): ops.where(valid, entry, one if i == j else zero) for (i, j), entry in entries.items()}
    return masked, [ops.where(valid, term, zero) for term in b]
