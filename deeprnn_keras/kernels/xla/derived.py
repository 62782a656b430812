"""Recurrence on XLA whose backward pass is derived from its equations.

A step is arithmetic around maps z_k = W_k^T a_k + b_k. The forward pass saves every z_k. The backward pass
differentiates a step with a tape that treats every z_k as a constant, so that no product is recomputed. From the last
map to the first, dz_k is propagated as da_k = W_k dz_k, one product per map, and a_k and dz_k are stored. The weight
gradients are then one large product per map, dW_k = sum over t of a_k dz_k^T, as in the hand-written recurrences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import NamedTuple

import keras
import tensorflow as tf
from typing_extensions import override

from deeprnn_keras._types import Tensor
from deeprnn_keras.equations import Blocks, DiagonalMap, Equations, Linear
from deeprnn_keras.equations.maps import NamedMap
from deeprnn_keras.kernels.xla.feature_major import FeatureMajor, on_values
from deeprnn_keras.kernels.xla.recurrence import ForwardRecord, Packed, StepRecurrence, Tensors, Weights
from deeprnn_keras.kernels.xla.time_products import merge_time, split_time, sum_outer_products


class MapUse(NamedTuple):
    """Use of a map in a step.

    Attributes:
        map: The map.
        blocks: Blocks of the map that are computed.
        state: Index of the state that is the input of the map, or None if the input is another tensor.
    """

    map: NamedMap
    blocks: tuple[str, ...]
    state: int | None

    @property
    def rows(self) -> int:
        """Number of rows of z."""
        return len(self.blocks) * self.map.width


class StepOutline(NamedTuple):
    """Outline of a step.

    Attributes:
        uses: Uses of maps, in order.
        input_blocks: Names of the blocks of the projected inputs.
        input_rows: Number of rows of the projected inputs.
    """

    uses: list[MapUse]
    input_blocks: tuple[str, ...]
    input_rows: int


@dataclass(frozen=True)
class DerivedRecurrence(StepRecurrence):
    """Recurrence whose forward step, backward step, and weight gradients are derived from equations.

    Attributes:
        equations: Computation of one step.
        activations: ((name in the equations, Keras' name of the function or the function itself), ...).
    """

    equations: Equations
    activations: tuple[tuple[str, str | Callable[[Tensor], Tensor]], ...]

    @property
    def num_states(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  # read-only here
        """Number of states carried from step to step."""
        return len(self.equations.state_widths())

    @cached_property
    def functions(self) -> SimpleNamespace:
        """Activations as attributes, the argument `f` of the equations."""
        return SimpleNamespace(
            **{name: on_values(keras.activations.get(function)) for name, function in self.activations}
        )

    @cached_property
    def outline(self) -> StepOutline:
        """Outline of a step, recorded by running it on zeros in a separate graph."""
        equations = self.equations
        uses: list[MapUse] = []

        def zeros(named_map: NamedMap, blocks: Sequence[str], a: FeatureMajor) -> FeatureMajor:
            return FeatureMajor(tf.zeros((len(blocks) * named_map.width, 1)))

        def record(named_map: NamedMap, blocks: Sequence[str], a: FeatureMajor) -> FeatureMajor:
            index = next((index for index, state in enumerate(states) if a is state), None)
            uses.append(MapUse(named_map, tuple(blocks), index))
            return zeros(named_map, blocks, a)

        with tf.Graph().as_default():
            states = [FeatureMajor(tf.zeros((width, 1))) for width in equations.state_widths().values()]
            maps = equations.maps(1)
            projected = equations.project_inputs(FeatureMajor(tf.zeros((1, 1))), Linear(maps, zeros), self.functions)
            equations.step(projected, list(states), Linear(maps, record), self.functions)
            return StepOutline(uses, projected.names, projected.tensor.shape[-1])

    @cached_property
    def step_maps(self) -> list[NamedMap]:
        """The distinct maps of a step, in order of their first use."""
        return list({use.map.name: use.map for use in self.outline.uses}.values())

    @override
    def weights(self, input_dim: int, stored: Mapping[str, Tensor]) -> Weights:
        trainable = [stored[name] for named_map in self.step_maps for name in _weight_names(named_map)]
        packed = self.pack(*map(tf.stop_gradient, trainable))
        return Weights(trainable, packed, (self.equations.maps(input_dim), stored))

    @override
    def project_inputs(self, x: Tensor, weights: Weights) -> Tensor:
        """Return the projected inputs (T, rows, n) of x (T, d, n)."""
        maps, stored = weights.projection

        def product(named_map: NamedMap, blocks: tuple[str, ...], a: FeatureMajor) -> FeatureMajor:
            weight = named_map.select(keras.ops, stored[named_map.name], blocks)
            if _is_diagonal(named_map):
                z = _repeat_rows(a.tensor, len(blocks)) * weight[:, None]
            else:
                z = tf.matmul(weight, a.tensor, transpose_a=True)
            if named_map.bias is not None:
                z += named_map.select(keras.ops, stored[named_map.bias], blocks)[:, None]
            return FeatureMajor(z)

        merged = FeatureMajor(merge_time(x))
        projected = self.equations.project_inputs(merged, Linear(maps, product), self.functions)
        return split_time(projected.tensor.tensor, x)

    @override
    def pack(self, *trainable: Tensor) -> list[tuple[Tensor, Tensor, Tensor | None]]:
        """Return (W^T, W, b) of the computed blocks for each use of a map; (w, w, b) as columns for a diagonal map."""
        names = [name for named_map in self.step_maps for name in _weight_names(named_map)]
        by_name, packed = dict(zip(names, trainable, strict=True)), []
        for named_map, blocks, _ in self.outline.uses:
            weight = named_map.select(keras.ops, by_name[named_map.name], blocks)
            bias = None
            if named_map.bias is not None:
                bias = named_map.select(keras.ops, by_name[named_map.bias], blocks)[:, None]
            if _is_diagonal(named_map):
                packed.append((weight[:, None], weight[:, None], bias))
            else:
                packed.append((tf.transpose(weight), weight, bias))
        return packed

    @override
    def saved_rows(self, units: int) -> list[int]:
        """Return the number of rows of each z_k."""
        return [use.rows for use in self.outline.uses]

    @override
    def gradient_rows(self, units: int) -> list[int]:
        """Return the number of rows of each dz_k, of each a_k that is not a state, and of dx."""
        uses = self.outline.uses
        input_dims = [use.map.input_dim for use in uses if use.state is None]
        return [*(use.rows for use in uses), *input_dims, self.outline.input_rows]

    @override
    def forward_step(self, packed: Packed, x: Tensor, states: Tensors) -> tuple[Tensors, Tensors]:
        """Return the new states and [z_1, ...]."""
        saved: Tensors = []

        def product(named_map: NamedMap, blocks: tuple[str, ...], a: FeatureMajor) -> FeatureMajor:
            weight, _, bias = packed[len(saved)]
            repeated = _is_diagonal(named_map)
            z = _repeat_rows(a.tensor, len(blocks)) * weight if repeated else tf.matmul(weight, a.tensor)
            saved.append(z if bias is None else z + bias)
            return FeatureMajor(saved[-1])

        return self._step(x, states, product), saved

    def _step(self, x: Tensor, states: Tensors, product: Callable[..., FeatureMajor]) -> Tensors:
        """Return the new states from the projected inputs and the states before the step."""
        projected = Blocks(FeatureMajor(x), self.outline.input_blocks)
        linear = Linear(self.equations.maps(1), product)
        new_states = self.equations.step(projected, [FeatureMajor(state) for state in states], linear, self.functions)
        return [state.tensor for state in new_states]

    @override
    def backward_step(self, packed: Packed, record: ForwardRecord, d_states: Tensors) -> tuple[Tensors, Tensors]:
        """Return [dz_1, ..., each a_k that is not a state, dx] and the gradient with respect to the states before."""
        x, states, _, saved = record
        map_inputs: Tensors = []

        def saved_product(named_map: NamedMap, blocks: tuple[str, ...], a: FeatureMajor) -> FeatureMajor:
            map_inputs.append(a.tensor)
            return FeatureMajor(saved[len(map_inputs) - 1])

        sources = [x, *states, *saved]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(sources)
            new_states = self._step(x, states, saved_product)
        gradients = tape.gradient(new_states, sources, output_gradients=d_states)
        uses, first_z = self.outline.uses, 1 + self.num_states  # index of z_1 in `sources`
        for k in reversed(range(len(uses))):  # later maps depend on the outputs of earlier ones
            dz = gradients[first_z + k] = _zeros_if_none(gradients[first_z + k], saved[k])
            da = _map_input_gradient(uses[k], packed[k][1], dz)
            state = uses[k].state
            if state is not None:
                gradients[1 + state] = _add_gradients(gradients[1 + state], da)
            else:
                through_input = tape.gradient(map_inputs[k], sources, da)
                gradients = [_add_gradients(*pair) for pair in zip(gradients, through_input, strict=True)]
        dx, *others = [_zeros_if_none(*pair) for pair in zip(gradients, sources, strict=True)]
        inputs_to_store = [a for a, use in zip(map_inputs, uses, strict=True) if use.state is None]
        return [*others[self.num_states :], *inputs_to_store, dx], others[: self.num_states]

    @override
    def weight_gradients(self, record: ForwardRecord, stored: Tensors) -> tuple[Tensor, Sequence[Tensor]]:
        """Return dx and the gradients of the weights in the order of `pack`."""
        uses = self.outline.uses
        *parts, dx = stored
        dz, map_inputs = parts[: len(uses)], iter(parts[len(uses) :])
        blocks: dict[tuple[str, str], Tensor] = {}
        for use, gradient in zip(uses, dz, strict=True):
            a = next(map_inputs) if use.state is None else record.states_before[use.state]
            _add_block_gradients(blocks, use, merge_time(a), merge_time(gradient))
        names = [(named_map, name) for named_map in self.step_maps for name in _weight_names(named_map)]
        return dx, [_join_blocks(blocks, named_map, name) for named_map, name in names]


def _is_diagonal(named_map: NamedMap) -> bool:
    return isinstance(named_map, DiagonalMap)


def _repeat_rows(a: Tensor, count: int) -> Tensor:
    return a if count == 1 else tf.concat([a] * count, -2)


def _map_input_gradient(use: MapUse, weight: Tensor, dz: Tensor) -> Tensor:
    if not _is_diagonal(use.map):
        return tf.matmul(weight, dz)
    products = weight * dz
    return products if len(use.blocks) == 1 else tf.add_n(tf.split(products, len(use.blocks)))


def _add_gradients(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return second if first is None else first if second is None else first + second


def _zeros_if_none(gradient: Tensor | None, like: Tensor) -> Tensor:
    return tf.zeros_like(like) if gradient is None else gradient


def _weight_names(named_map: NamedMap) -> list[str]:
    return [named_map.name] if named_map.bias is None else [named_map.name, named_map.bias]


def _add_block_gradients(gradients: dict[tuple[str, str], Tensor], use: MapUse, a: Tensor, dz: Tensor) -> None:
    """Add the contribution of a use to dW and db, {(weight name, block): gradient}.

    Args:
        gradients: Sums to add to, in place.
        use: Use of a map.
        a: Inputs of the map, (rows, T n).
        dz: Gradient with respect to its outputs, (rows of z, T n).
    """
    if _is_diagonal(use.map):
        contributions = {use.map.name: tf.reduce_sum(_repeat_rows(a, len(use.blocks)) * dz, 1)}
    else:
        contributions = {use.map.name: sum_outer_products(a, dz)}
    if use.map.bias is not None:
        contributions[use.map.bias] = tf.reduce_sum(dz, 1)
    for name, gradient in contributions.items():
        for block, part in zip(use.blocks, tf.split(gradient, len(use.blocks), axis=-1), strict=True):
            gradients[name, block] = gradients[name, block] + part if (name, block) in gradients else part


def _join_blocks(gradients: Mapping[tuple[str, str], Tensor], named_map: NamedMap, name: str) -> Tensor:
    """Return the gradient of a weight.

    Raises:
        ValueError: If no use computes one of the blocks, which is an error in the equations.
    """
    missing = [block for block in named_map.blocks if (name, block) not in gradients]
    if missing:
        raise ValueError(f"equations: step must use every block of the map {named_map.name!r}, unused: {missing}")
    return tf.concat([gradients[name, block] for block in named_map.blocks], -1)
