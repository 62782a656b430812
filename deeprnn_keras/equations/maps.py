"""Named maps of a step: the only way in which the equations of a recurrence may use weights."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from deeprnn_keras import checks

Array = Any  # NumPy, Keras, or backend array: equations use arithmetic and slicing only


@dataclass(frozen=True)
class NamedMap(ABC):
    """Base of the maps: G blocks of outputs side by side, each with a name (a gate, a stage).

    Attributes:
        name: Name of the weight, such as "kernel".
        input_dim: Width of the input a.
        width: Width of each block.
        blocks: Names of the blocks, in storage order.
        bias: Name of the bias (G width,), or None.
        role: "kernel" reads x; "recurrent" reads a state, or what a later stage makes of one; "hidden" lies between two
            non-linearities. Initializers, regularizers, and recurrent dropout are chosen by it.
    """

    name: str
    input_dim: int
    width: int
    blocks: tuple[str, ...]
    bias: str | None = None
    role: str = "kernel"

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight; its last axis holds the blocks."""

    @abstractmethod
    def product(self, xp: Any, a: Array, weight: Array) -> Array:
        """Return the product (..., k width) of a (..., input_dim) and k blocks of the weight, without bias.

        Args:
            xp: Namespace with `matmul` and `concatenate`, such as `numpy` or `keras.ops`.
            a: Input.
            weight: The weight, or some of its blocks side by side.
        """

    def count_params(self) -> int:
        """Return the number of weights, bias included."""
        return math.prod(self.shape) + (self.width * len(self.blocks) if self.bias else 0)

    def columns(self, block: str) -> slice:
        """Return the place of a block along the last axis of the weight and of the bias."""
        start = self.blocks.index(checks.one_of(f"block of {self.name}", block, self.blocks)) * self.width
        return slice(start, start + self.width)


class AffineMap(NamedMap):
    """Affine map a W + b with W (input_dim, G width) and b (G width,).

    >>> from deeprnn_keras import AffineMap
    >>> AffineMap("kernel", input_dim=3, width=4, blocks=("update", "candidate"), bias="bias").count_params()
    32
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(input_dim, G width)."""
        return self.input_dim, self.width * len(self.blocks)

    def product(self, xp: Any, a: Array, weight: Array) -> Array:
        """Return a W."""
        return xp.matmul(a, weight)


class DiagonalMap(NamedMap):
    """Diagonal map a * w + b with one weight per unit and block: w (G width,), input_dim = width.

    Block k of the output is a * w_k, elementwise. IndRNN (Li et al. 2018, arXiv:1803.04831) has such a recurrence.

    Args:
        name, width, blocks, bias, role: As for `AffineMap`; the role is "recurrent" unless given.

    >>> from deeprnn_keras import DiagonalMap
    >>> DiagonalMap("recurrent_kernel", width=4, blocks=("candidate",)).count_params()
    4
    """

    def __init__(
        self, name: str, width: int, blocks: tuple[str, ...], bias: str | None = None, role: str = "recurrent"
    ) -> None:
        super().__init__(name, width, width, blocks, bias, role)

    @property
    def shape(self) -> tuple[int, ...]:
        """(G width,)."""
        return (self.width * len(self.blocks),)

    def product(self, xp: Any, a: Array, weight: Array) -> Array:
        """Return [a * w_1, ..., a * w_k]."""
        count = weight.shape[-1] // self.width
        if count == 1:
            return a * weight
        parts = [a * weight[..., k * self.width : (k + 1) * self.width] for k in range(count)]
        return xp.concatenate(parts, axis=-1)


class Blocks:
    """Output of a map: a tensor whose features are blocks, each found by its name.

    Attributes:
        tensor: All blocks side by side.
        names: Names of the blocks, in order.
        axis: Axis of the features, -1 or -2.
    """

    def __init__(self, tensor: Array, names: Sequence[str], axis: int = -1) -> None:
        self.tensor, self.names, self.axis = tensor, tuple(names), axis

    def __getitem__(self, name: str) -> Array:
        checks.one_of("block", name, self.names)
        if len(self.names) == 1:
            return self.tensor
        width = self.tensor.shape[self.axis] // len(self.names)
        start = self.names.index(name) * width
        part = slice(start, start + width)
        return self.tensor[..., part] if self.axis == -1 else self.tensor[..., part, :]


class Linear:
    """Callable that applies named maps: `linear(name, a, *blocks)` returns the map of a as `Blocks`.

    All blocks of the map are computed, or only those that are named.

    Args:
        maps: The maps of the equations.
        product: Function (map, blocks, a) -> tensor; the caller decides how it is computed and in which layout.
        axis: Axis of the features.
    """

    def __init__(
        self, maps: Sequence[NamedMap], product: Callable[[NamedMap, tuple[str, ...], Array], Array], axis: int = -1
    ) -> None:
        self._maps = {known.name: known for known in maps}
        self._product, self._axis = product, axis

    def __call__(self, name: str, a: Array, *blocks: str) -> Blocks:
        known = self._maps[checks.one_of("map", name, self._maps)]
        for block in blocks:
            known.columns(block)
        blocks = blocks or known.blocks
        return Blocks(self._product(known, blocks, a), blocks, self._axis)
