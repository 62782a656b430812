"""Parts of a recurrence that are computed for all steps at once, in `keras.ops`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import keras
from keras import ops

from deeprnn_keras._types import Tensor
from deeprnn_keras.equations import Blocks, Linear
from deeprnn_keras.equations.maps import NamedMap
from deeprnn_keras.equations.unitwise import UnitOperation, UnitStep, UnitWeights
from deeprnn_keras.kernels.contract import LayerCall

_FUNCTIONS = {
    "negate": ops.negative,
    "greater": lambda a, b: ops.cast(ops.greater(a, b), a.dtype),
    "where": lambda condition, a, b: ops.where(ops.not_equal(condition, 0), a, b),
}
"""{elementwise primitive: function}; the others have their names in `keras.ops`."""


def evaluate(operations: Sequence[UnitOperation], known: Sequence[Tensor]) -> list[Tensor]:
    """Return the values of elementwise operations: `known`, followed by their results."""
    values = list(known)
    for one in operations:
        function = _FUNCTIONS.get(one.primitive) or getattr(ops, one.primitive)
        values.append(function(*(values[index] for index in one.operands)))
    return values


def constants(numbers: Sequence[float], dtype: str) -> list[Tensor]:
    """Return numbers as tensors."""
    return [ops.convert_to_tensor(number, dtype) for number in numbers]


def weight_values(weights: UnitWeights, stored: Mapping[str, Tensor], units: int, dtype: str) -> list[Tensor]:
    """Return the values of a step that depend on weights only, (h,) each.

    Args:
        weights: Their computation.
        stored: The weights by name.
        units: h.
        dtype: Dtype of the weights.
    """
    vectors = [stored[name][block * units : (block + 1) * units] for name, block in weights.stored]
    values = evaluate(weights.operations, [*vectors, *constants(weights.constants, dtype)])
    return [ops.broadcast_to(values[index], (units,)) for index in weights.results]


class Evaluation:
    """Equations of a layer with its weights, evaluated for all steps at once.

    Args:
        call: The layer.
        stored: Its weights by name.
    """

    def __init__(self, call: LayerCall, stored: Mapping[str, Tensor]) -> None:
        assert call.recurrence is not None  # an implementation with a scan supports cells with equations only
        self.equations = call.recurrence.equations
        self._stored = stored
        self._linear = Linear(self.equations.maps(call.input_dim), self._product)
        functions = {name: keras.activations.get(function) for name, function in call.recurrence.activations}
        self._functions = SimpleNamespace(**functions)

    def _product(self, named_map: NamedMap, blocks: tuple[str, ...], a: Tensor) -> Tensor:
        z = named_map.product(ops, a, named_map.select(ops, self._stored[named_map.name], blocks))
        return z if named_map.bias is None else z + named_map.select(ops, self._stored[named_map.bias], blocks)

    def project(self, x: Tensor) -> Blocks:
        """Return the projected inputs of all steps, (n, T, blocks h), for x (n, T, d)."""
        return self.equations.project_inputs(x, self._linear, self._functions)

    def states_after(
        self, step: UnitStep, projected: Blocks, carried: Mapping[int, Tensor], initial: Sequence[Tensor]
    ) -> dict[int, Tensor]:
        """Return the states that are not carried, after all steps, (n, T, width) each.

        Args:
            step: The step of single units.
            projected: The projected inputs, in the order in which they are read.
            carried: The carried states after all steps, (n, T, width), by their index.
            initial: All states before the first step, (n, width) each.
        """
        before = [
            shifted(carried[index], state) if index in carried else state[:, None]  # which no step reads
            for index, state in enumerate(initial)
        ]
        new_states = self.equations.step(projected, before, self._linear, self._functions)
        return {index: new_states[index] for index in step.computed_after}


def unit_states(step: UnitStep, states: Sequence[Tensor], units: int) -> list[Tensor]:
    """Return the carried states of units, (..., h) each, from all states, (..., width) each."""
    parts = [ops.split(states[index], states[index].shape[-1] // units, -1) for index in dict.fromkeys(step.states)]
    return [part for state in parts for part in state]


def joined_states(step: UnitStep, parts: Sequence[Tensor]) -> dict[int, Tensor]:
    """Return the carried states of the equations, (..., width), by their index, from those of units, (..., h) each."""
    by_index: dict[int, list[Tensor]] = {}
    for index, part in zip(step.states, parts, strict=True):
        by_index.setdefault(index, []).append(part)
    return {index: state[0] if len(state) == 1 else ops.concatenate(state, -1) for index, state in by_index.items()}


def shifted(after: Tensor, initial: Tensor) -> Tensor:
    """Return a state before all steps, (n, T, h), from the state after all steps and the initial state (n, h)."""
    return ops.concatenate([initial[:, None], after[:, :-1]], 1)


def held(after: Tensor, initial: Tensor, mask: Tensor) -> Tensor:
    """Return a state after all steps, (n, T, h), that does not change at masked steps.

    Args:
        after: The state after all steps, of any value at masked steps.
        initial: The state before the first step, (n, h).
        mask: (n, T) of bool.
    """
    length = ops.shape(mask)[1]
    position = ops.arange(length, dtype="int32")[None]
    valid_first = ops.argsort(position + ops.where(mask, 0, length), 1)  # positions of the valid steps, in order
    count = ops.cumsum(ops.cast(mask, "int32"), 1)
    last_valid = ops.take_along_axis(ops.cast(valid_first, "int32"), ops.maximum(count - 1, 0), 1)
    source = ops.where(count > 0, last_valid + 1, 0)  # 0 is the initial state
    known = ops.concatenate([initial[:, None], after], 1)
    return ops.take_along_axis(known, source[:, :, None], 1)
