"""`Derived`: a recurrence for the fused kernel out of nothing but its equations.

A step is arithmetic around affine maps z_k = W_k^T a_k + b_k. The way forward keeps every z_k. On the way back a step
is differentiated by a tape that takes every z_k for given, so that no product is computed again: from the last map to
the first, dz_k goes on as da_k = W_k dz_k, one product, and a_k and dz_k are written down. The weights' gradients are
then one large product per map, dW_k = sum over t of a_k dz_k^T, as in the kernels written by hand.
"""

import functools
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import tensorflow as tf

from deeprnn_keras.equations import Blocks, Linear
from deeprnn_keras.kernels.tensorflow.fused import packed
from deeprnn_keras.kernels.tensorflow.products import flat, product_over_time, unflat


class Use(NamedTuple):
    """One place in a step where a map is used.

    Attributes:
        known: the `AffineMap`.
        blocks: those of its blocks that are computed.
        state: the number of the state that it reads as it is, or None.
    """

    known: object
    blocks: tuple
    state: int | None

    @property
    def rows(self):
        """Of z."""
        return len(self.blocks) * self.known.width


class Outline(NamedTuple):
    """What a step does: the `Use`s in order, the names of the blocks that it reads, and the rows of these together."""

    uses: list
    names: tuple
    rows: int


@dataclass(frozen=True)
class Derived:
    """The contract of `Recurrence`, derived.

    Attributes:
        equations: `Equations`.
        functions: ((name, activation), ...).
    """

    equations: object
    functions: tuple

    @property
    def states(self):
        """How many tensors a step carries."""
        return len(self.equations.states)

    @property
    def f(self):
        """The activations, as attributes."""
        return SimpleNamespace(**dict(self.functions))

    def weights(self, inputs, given):
        """`Weights` from {name: tensor}."""
        stepping = [given[name] for known in self._maps() for name in _names(known)]
        return packed(self, stepping, (self.equations.maps(inputs), given))

    def _maps(self):
        """The maps of a step, each once, in order."""
        return list({use.known.name: use.known for use in outline(self).uses}.values())

    def read(self, x, weights):
        """x (T, d, n) -> what the equations read of it (T, rows, n)."""
        maps, given = weights.reading
        columns = flat(x)

        def product(known, blocks, a):
            z = tf.matmul(_columns(given[known.name], known, blocks), a, transpose_a=True)
            return z if known.bias is None else z + _columns(given[known.bias], known, blocks)[:, None]

        return unflat(self.equations.read(columns, Linear(maps, product, axis=-2), self.f).tensor, x)

    def pack(self, *given):
        """(W^T, W, b) for each use of a map: of its blocks."""
        names = [name for known in self._maps() for name in _names(known)]
        by_name, ready = dict(zip(names, given, strict=True)), []
        for known, blocks, _ in outline(self).uses:
            matrix = _columns(by_name[known.name], known, blocks)
            bias = None if known.bias is None else _columns(by_name[known.bias], known, blocks)[:, None]
            ready.append((tf.transpose(matrix), matrix, bias))
        return ready

    def saved_rows(self, units):
        """Rows of each z_k."""
        return [use.rows for use in outline(self).uses]

    def written_rows(self, units):
        """Rows of each dz_k, of each a_k that is not a state, and of dx."""
        uses = outline(self).uses
        return [*(use.rows for use in uses), *(u.known.inputs for u in uses if u.state is None), outline(self).rows]

    def forward(self, weights, x, states):
        """-> new states, saved [z_1, ...]."""
        saved = []

        def product(known, blocks, a):
            transposed, _, bias = weights[len(saved)]
            z = tf.matmul(transposed, a)
            saved.append(z if bias is None else z + bias)
            return saved[-1]

        return self._step(x, states, product), saved

    def backward(self, weights, x, saved, before, after, gradient):
        """-> [dz_1, ..., a_k that are not states, dx], gradient with respect to the states before."""
        read = []

        def product(known, blocks, a):
            read.append(a)
            return saved[len(read) - 1]

        sources = [x, *before, *saved]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(sources)
            new = self._step(x, before, product)
        sums = tape.gradient(new, sources, output_gradients=gradient)
        uses, first = outline(self).uses, 1 + self.states  # saved begins there among the sources
        for number in reversed(range(len(uses))):  # later maps read what earlier ones gave
            dz = sums[first + number] = _or_zeros(sums[first + number], saved[number])
            da = tf.matmul(weights[number][1], dz)
            state = uses[number].state
            if state is not None:
                sums[1 + state] = _sum(sums[1 + state], da)
            else:
                sums = [_sum(*pair) for pair in zip(sums, tape.gradient(read[number], sources, da), strict=True)]
        dx, *rest = [_or_zeros(*pair) for pair in zip(sums, sources, strict=True)]
        others = [a for a, use in zip(read, uses, strict=True) if use.state is None]
        return [*rest[self.states :], *others, dx], rest[: self.states]

    def weight_gradients(self, x, earlier, written, saved):
        """-> dx, gradients of the weights in the order of `pack`'s arguments."""
        uses = outline(self).uses
        *parts, dx = written
        dz, others = parts[: len(uses)], iter(parts[len(uses) :])
        blocks = {}
        for use, gradient in zip(uses, dz, strict=True):
            a = next(others) if use.state is None else earlier[use.state]
            _add_blocks(blocks, use, flat(a), flat(gradient))
        return dx, [_joined(blocks, known, name) for known in self._maps() for name in _names(known)]

    def input_gradient(self, packed, dx, x):
        """dx itself: the rest is in `read`."""
        return dx

    def _step(self, x, states, product):
        linear = Linear(self.equations.maps(1), product, axis=-2)
        return list(self.equations.step(Blocks(x, outline(self).names, -2), list(states), linear, self.f))


@functools.cache
def outline(derived):
    """The `Outline` of a recurrence, found by running a step on nothing in a graph of its own."""
    equations, uses = derived.equations, []

    def zeros(known, blocks, a):
        return tf.zeros((len(blocks) * known.width, 1))

    def product(known, blocks, a):
        state = next((number for number, state in enumerate(states) if a is state), None)
        uses.append(Use(known, tuple(blocks), state))
        return zeros(known, blocks, a)

    with tf.Graph().as_default():
        states = [tf.zeros((equations.units, 1)) for _ in equations.states]
        read = equations.read(tf.zeros((1, 1)), Linear(equations.maps(1), zeros, axis=-2), derived.f)
        equations.step(read, list(states), Linear(equations.maps(1), product, axis=-2), derived.f)
        return Outline(uses, read.names, read.tensor.shape[-2])


def _sum(one, other):
    return other if one is None else one if other is None else one + other


def _or_zeros(gradient, like):
    return tf.zeros_like(like) if gradient is None else gradient


def _names(known):
    return [known.name] if known.bias is None else [known.name, known.bias]


def _columns(weight, known, blocks):
    if tuple(blocks) == known.blocks:
        return weight
    return tf.concat([weight[..., known.columns(block)] for block in blocks], -1)


def _add_blocks(blocks, use, a, dz):
    """Adds a use's part of dW and db to {(name, block): gradient}."""
    found = {use.known.name: product_over_time(a, dz)}
    if use.known.bias is not None:
        found[use.known.bias] = tf.reduce_sum(dz, 1)
    for name, gradient in found.items():
        for block, part in zip(use.blocks, tf.split(gradient, len(use.blocks), axis=-1), strict=True):
            blocks[name, block] = blocks[name, block] + part if (name, block) in blocks else part


def _joined(blocks, known, name):
    """The gradient of a weight; blocks that no step uses are an error of the equations."""
    missing = [block for block in known.blocks if (name, block) not in blocks]
    if missing:
        raise ValueError(f"equations: step never uses {missing} of the map {known.name!r}")
    return tf.concat([blocks[name, block] for block in known.blocks], -1)
