"""`Derived`: a recurrence of the XLA implementation out of nothing but its equations.

A step is arithmetic around maps z_k = W_k^T a_k + b_k. The forward pass stores every z_k. In the backward pass a step
is differentiated by a tape that takes every z_k as given, so that no product is computed again: from the last map to
the first, dz_k passes on as da_k = W_k dz_k, one product, and a_k and dz_k are written down. The gradients of the
weights are then one large product per map, dW_k = sum over t of a_k dz_k^T, as in the recurrences written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from deeprnn_keras.equations import Blocks, DiagonalMap, Equations, Linear
from deeprnn_keras.equations.maps import NamedMap
from deeprnn_keras.kernels.xla.products import flat, product_over_time, unflat
from deeprnn_keras.kernels.xla.recurrence import StepRecurrence, Tensor, Weights


class Use(NamedTuple):
    """One place in a step where a map is used.

    Attributes:
        known: The map.
        blocks: Those of its blocks that are computed.
        state: Number of the state that it reads as it is, or None.
    """

    known: NamedMap
    blocks: tuple[str, ...]
    state: int | None

    @property
    def rows(self) -> int:
        """Rows of z."""
        return len(self.blocks) * self.known.width


class Outline(NamedTuple):
    """Outline of a step: its `Use`s in order, the names of the blocks that it reads, and their rows together."""

    uses: list[Use]
    names: tuple[str, ...]
    rows: int


@dataclass(frozen=True)
class Derived(StepRecurrence):
    """The contract of `StepRecurrence`, derived.

    Attributes:
        equations: What a step computes.
        activations: ((name in the equations, Keras' name of the function, or the function), ...).
    """

    equations: Equations
    activations: tuple[tuple[str, Any], ...]

    @property
    def states(self) -> int:
        """Number of tensors that a step carries."""
        return len(self.equations.states)

    @cached_property
    def f(self) -> SimpleNamespace:
        """The activations, as attributes."""
        return SimpleNamespace(**{name: keras.activations.get(function) for name, function in self.activations})

    @cached_property
    def outline(self) -> Outline:
        """Outline of a step, found by running it on zeros in a graph of its own."""
        equations, uses = self.equations, []

        def zeros(known: NamedMap, blocks: Sequence[str], a: Tensor) -> Tensor:
            return tf.zeros((len(blocks) * known.width, 1))

        def product(known: NamedMap, blocks: Sequence[str], a: Tensor) -> Tensor:
            state = next((number for number, state in enumerate(states) if a is state), None)
            uses.append(Use(known, tuple(blocks), state))
            return zeros(known, blocks, a)

        with tf.Graph().as_default():
            states = [tf.zeros((equations.units, 1)) for _ in equations.states]
            maps = equations.maps(1)
            projected = equations.project_inputs(tf.zeros((1, 1)), Linear(maps, zeros, axis=-2), self.f)
            equations.step(projected, list(states), Linear(maps, product, axis=-2), self.f)
            return Outline(uses, projected.names, projected.tensor.shape[-2])

    @cached_property
    def step_maps(self) -> list[NamedMap]:
        """The maps of a step, each once, in order."""
        return list({use.known.name: use.known for use in self.outline.uses}.values())

    def weights(self, input_dim: int, stored: Mapping[str, Tensor]) -> Weights:
        """Return the `Weights` from the tensors of the maps, by name."""
        given = [stored[name] for known in self.step_maps for name in _names(known)]
        packed = self.pack(*map(tf.stop_gradient, given))
        return Weights(given, packed, (self.equations.maps(input_dim), stored))

    def project_inputs(self, x: Tensor, weights: Weights) -> Tensor:
        """Return what the equations read of x (T, d, n), (T, rows, n)."""
        maps, stored = weights.projecting

        def product(known: NamedMap, blocks: tuple[str, ...], a: Tensor) -> Tensor:
            weight = _columns(stored[known.name], known, blocks)
            z = (
                _repeated(a, blocks) * weight[:, None]
                if _is_diagonal(known)
                else tf.matmul(weight, a, transpose_a=True)
            )
            return z if known.bias is None else z + _columns(stored[known.bias], known, blocks)[:, None]

        return unflat(self.equations.project_inputs(flat(x), Linear(maps, product, axis=-2), self.f).tensor, x)

    def pack(self, *given: Tensor) -> list[tuple[Tensor, Tensor, Tensor | None]]:
        """Return (W^T, W, b) for each use of a map, of its blocks; a diagonal map has (w, w, b) as columns."""
        names = [name for known in self.step_maps for name in _names(known)]
        by_name, packed = dict(zip(names, given, strict=True)), []
        for known, blocks, _ in self.outline.uses:
            weight = _columns(by_name[known.name], known, blocks)
            bias = None if known.bias is None else _columns(by_name[known.bias], known, blocks)[:, None]
            if _is_diagonal(known):
                packed.append((weight[:, None], weight[:, None], bias))
            else:
                packed.append((tf.transpose(weight), weight, bias))
        return packed

    def saved_rows(self, units: int) -> list[int]:
        """Return the rows of each z_k."""
        return [use.rows for use in self.outline.uses]

    def written_rows(self, units: int) -> list[int]:
        """Return the rows of each dz_k, of each a_k that is not a state, and of dx."""
        uses = self.outline.uses
        return [*(use.rows for use in uses), *(u.known.input_dim for u in uses if u.state is None), self.outline.rows]

    def forward(self, packed: Sequence[Any], x: Tensor, states: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the new states and [z_1, ...]."""
        saved: list[Tensor] = []

        def product(known: NamedMap, blocks: tuple[str, ...], a: Tensor) -> Tensor:
            weight, _, bias = packed[len(saved)]
            z = _repeated(a, blocks) * weight if _is_diagonal(known) else tf.matmul(weight, a)
            saved.append(z if bias is None else z + bias)
            return saved[-1]

        linear = Linear(self.equations.maps(1), product, axis=-2)
        return list(self.equations.step(Blocks(x, self.outline.names, -2), list(states), linear, self.f)), saved

    def backward(
        self,
        packed: Sequence[Any],
        x: Tensor,
        saved: list[Tensor],
        before: list[Tensor],
        after: list[Tensor],
        gradient: list[Tensor],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return [dz_1, ..., a_k that are not states, dx] and the gradient by the states before."""
        inputs: list[Tensor] = []

        def product(known: NamedMap, blocks: tuple[str, ...], a: Tensor) -> Tensor:
            inputs.append(a)
            return saved[len(inputs) - 1]

        sources = [x, *before, *saved]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(sources)
            linear = Linear(self.equations.maps(1), product, axis=-2)
            new = list(self.equations.step(Blocks(x, self.outline.names, -2), list(before), linear, self.f))
        sums = tape.gradient(new, sources, output_gradients=gradient)
        uses, first = self.outline.uses, 1 + self.states  # saved begins there among the sources
        for number in reversed(range(len(uses))):  # later maps read what earlier ones gave
            dz = sums[first + number] = _or_zeros(sums[first + number], saved[number])
            da = _input_gradient(uses[number], packed[number][1], dz)
            state = uses[number].state
            if state is not None:
                sums[1 + state] = _sum(sums[1 + state], da)
            else:
                sums = [_sum(*pair) for pair in zip(sums, tape.gradient(inputs[number], sources, da), strict=True)]
        dx, *rest = [_or_zeros(*pair) for pair in zip(sums, sources, strict=True)]
        others = [a for a, use in zip(inputs, uses, strict=True) if use.state is None]
        return [*rest[self.states :], *others, dx], rest[: self.states]

    def weight_gradients(
        self, x: Tensor, earlier: list[Tensor], written: list[Tensor], saved: list[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Return dx, and the gradients of the weights in the order of `pack`'s arguments."""
        uses = self.outline.uses
        *parts, dx = written
        dz, others = parts[: len(uses)], iter(parts[len(uses) :])
        blocks: dict[tuple[str, str], Tensor] = {}
        for use, gradient in zip(uses, dz, strict=True):
            a = next(others) if use.state is None else earlier[use.state]
            _add_blocks(blocks, use, flat(a), flat(gradient))
        return dx, [_joined(blocks, known, name) for known in self.step_maps for name in _names(known)]

    def input_gradient(self, packed: Sequence[Any], left: Tensor, x: Tensor) -> Tensor:
        """Return dx itself: the rest is in `project_inputs`."""
        return left


def _is_diagonal(known: NamedMap) -> bool:
    return isinstance(known, DiagonalMap)


def _repeated(a: Tensor, blocks: Sequence[str]) -> Tensor:
    return a if len(blocks) == 1 else tf.concat([a] * len(blocks), -2)


def _input_gradient(use: Use, weight: Tensor, dz: Tensor) -> Tensor:
    if not _is_diagonal(use.known):
        return tf.matmul(weight, dz)
    products = weight * dz
    return products if len(use.blocks) == 1 else tf.add_n(tf.split(products, len(use.blocks)))


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return other if one is None else one if other is None else one + other


def _or_zeros(gradient: Tensor | None, like: Tensor) -> Tensor:
    return tf.zeros_like(like) if gradient is None else gradient


def _names(known: NamedMap) -> list[str]:
    return [known.name] if known.bias is None else [known.name, known.bias]


def _columns(weight: Tensor, known: NamedMap, blocks: Sequence[str]) -> Tensor:
    if tuple(blocks) == known.blocks:
        return weight
    return tf.concat([weight[..., known.columns(block)] for block in blocks], -1)


def _add_blocks(gradients: dict[tuple[str, str], Tensor], use: Use, a: Tensor, dz: Tensor) -> None:
    """Add a use's part of dW and db to {(name, block): gradient}; a (rows, T n), dz (rows of z, T n)."""
    if _is_diagonal(use.known):
        found = {use.known.name: tf.reduce_sum(_repeated(a, use.blocks) * dz, 1)}
    else:
        found = {use.known.name: product_over_time(a, dz)}
    if use.known.bias is not None:
        found[use.known.bias] = tf.reduce_sum(dz, 1)
    for name, gradient in found.items():
        for block, part in zip(use.blocks, tf.split(gradient, len(use.blocks), axis=-1), strict=True):
            gradients[name, block] = gradients[name, block] + part if (name, block) in gradients else part


def _joined(gradients: Mapping[tuple[str, str], Tensor], known: NamedMap, name: str) -> Tensor:
    """Return the gradient of a weight; blocks that no step uses are an error of the equations."""
    missing = [block for block in known.blocks if (name, block) not in gradients]
    if missing:
        raise ValueError(f"equations: step never uses {missing} of the map {known.name!r}")
    return tf.concat([gradients[name, block] for block in known.blocks], -1)
