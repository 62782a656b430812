"""Named maps of a step: the only form in which the equations of a recurrence use weights."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from typing_extensions import override

from deeprnn_keras import checks

Array: TypeAlias = Any
"""A NumPy, Keras, or backend array: equations use only arithmetic and slicing."""


class ArrayNamespace(Protocol):
    """Namespace of array functions, for example `numpy` or `keras.ops`."""

    @property
    def matmul(self) -> Callable[..., Array]:
        """Matrix product of two arrays."""
        ...

    @property
    def concatenate(self) -> Callable[..., Array]:
        """Concatenation of a list of arrays along `axis`."""
        ...


@dataclass(frozen=True)
class NamedMap(ABC):
    """Base class of maps whose output consists of G named blocks of equal width, one per gate or stage.

    Attributes:
        name: Name of the weight, for example "kernel".
        input_dim: Width of the input a.
        width: Width of each block.
        blocks: Names of the blocks, in storage order.
        bias: Name of the bias (G width,), or None.
        role: Input of the map: "kernel" for x; "recurrent" for a state or the output of a stage; "hidden" for the
            output of a hidden layer. It selects the initializer and regularizer of the weight; recurrent dropout
            acts on the inputs of "recurrent" maps. "gain", "peephole", and "bias" are vectors that start at 1, 0, and
            0 and are neither regularized nor dropped out.
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
    def product(self, xp: ArrayNamespace, a: Array, weight: Array) -> Array:
        """Return the product (..., k width) of a (..., input_dim) and k blocks of the weight, without bias.

        Args:
            xp: Namespace with `matmul` and `concatenate`, for example `numpy` or `keras.ops`.
            a: Input.
            weight: The weight, or k of its blocks, concatenated along the last axis.
        """

    def count_params(self) -> int:
        """Return the number of parameters, bias included."""
        return math.prod(self.shape) + (self.width * len(self.blocks) if self.bias else 0)

    def select(self, xp: ArrayNamespace, weight: Array, blocks: Sequence[str]) -> Array:
        """Return the named blocks of the weight or of the bias, concatenated.

        Args:
            xp: Namespace with `concatenate`.
            weight: The weight, or the bias.
            blocks: Names of the blocks.
        """
        if tuple(blocks) == self.blocks:
            return weight
        parts = [weight[..., self.columns(block)] for block in blocks]
        return parts[0] if len(parts) == 1 else xp.concatenate(parts, axis=-1)

    def columns(self, block: str) -> slice:
        """Return the slice of a block along the last axis of the weight and of the bias."""
        start = self.blocks.index(checks.one_of(f"block of {self.name}", block, self.blocks)) * self.width
        return slice(start, start + self.width)


class AffineMap(NamedMap):
    """Affine map a W + b with W (input_dim, G width) and b (G width,).

    >>> from deeprnn_keras import AffineMap
    >>> AffineMap("kernel", input_dim=3, width=4, blocks=("update", "candidate"), bias="bias").count_params()
    32
    """

    @property
    @override
    def shape(self) -> tuple[int, ...]:
        """(input_dim, G width)."""
        return self.input_dim, self.width * len(self.blocks)

    @override
    def product(self, xp: ArrayNamespace, a: Array, weight: Array) -> Array:
        return xp.matmul(a, weight)


class DiagonalMap(NamedMap):
    """Diagonal map a * w + b with one weight per unit and block: w (G width,), input_dim = width.

    Block k of the output is a * w_k, elementwise, as in the recurrence of IndRNN (Li et al. 2018, arXiv:1803.04831).

    Args:
        name: As in `AffineMap`.
        width: Width of the input and of each block.
        blocks: As in `AffineMap`.
        bias: As in `AffineMap`.
        role: As in `AffineMap`.

    >>> from deeprnn_keras import DiagonalMap
    >>> DiagonalMap("recurrent_kernel", width=4, blocks=("candidate",)).count_params()
    4
    """

    def __init__(
        self, name: str, width: int, blocks: tuple[str, ...], bias: str | None = None, role: str = "recurrent"
    ) -> None:
        super().__init__(name, width, width, blocks, bias, role)

    @property
    @override
    def shape(self) -> tuple[int, ...]:
        """(G width,)."""
        return (self.width * len(self.blocks),)

    @override
    def product(self, xp: ArrayNamespace, a: Array, weight: Array) -> Array:
        count = weight.shape[-1] // self.width
        if count == 1:
            return a * weight
        parts = [a * weight[..., k * self.width : (k + 1) * self.width] for k in range(count)]
        return xp.concatenate(parts, axis=-1)


class Blocks:
    """Output of a map: a tensor whose features consist of named blocks; `blocks[name]` is one of them.

    Attributes:
        tensor: All blocks, concatenated along the features.
        names: Names of the blocks, in order.

    >>> import numpy as np
    >>> from deeprnn_keras.equations import Blocks
    >>> Blocks(np.arange(4.0), ("update", "candidate"))["candidate"].tolist()
    [2.0, 3.0]
    """

    def __init__(self, tensor: Array, names: Sequence[str]) -> None:
        self.tensor: Array = tensor
        self.names: tuple[str, ...] = tuple(names)

    def __getitem__(self, name: str) -> Array:
        checks.one_of("block", name, self.names)
        if len(self.names) == 1:
            return self.tensor
        width = self.tensor.shape[-1] // len(self.names)
        start = self.names.index(name) * width
        return self.tensor[..., start : start + width]


class Linear:
    """Function that applies maps by name: `linear(name, a, *blocks)` returns the output for input a as `Blocks`.

    Args:
        maps: Maps of the equations.
        product: Function (map, blocks, a) -> tensor. It determines how and in which layout products are computed.

    >>> import numpy as np
    >>> from deeprnn_keras.equations import AffineMap, Linear
    >>> kernel = AffineMap("kernel", input_dim=2, width=1, blocks=("update", "candidate"))
    >>> linear = Linear([kernel], lambda named_map, blocks, a: a @ np.ones((2, len(blocks))))
    >>> linear("kernel", np.array([[1.0, 2.0]]))["update"].tolist()
    [[3.0]]
    """

    def __init__(self, maps: Sequence[NamedMap], product: Callable[[NamedMap, tuple[str, ...], Array], Array]) -> None:
        self._maps: dict[str, NamedMap] = {one.name: one for one in maps}
        self._product: Callable[[NamedMap, tuple[str, ...], Array], Array] = product

    def __call__(self, name: str, a: Array, *blocks: str) -> Blocks:
        """Apply a map to a and return the named blocks of its output, or all blocks if none is named.

        Args:
            name: Name of the map.
            a: Input of the map.
            *blocks: Names of the blocks.

        Raises:
            ValueError: If no map or block has this name.
        """
        named_map = self._maps[checks.one_of("map", name, self._maps)]
        for block in blocks:
            checks.one_of(f"block of {name}", block, named_map.blocks)
        blocks = blocks or named_map.blocks
        return Blocks(self._product(named_map, blocks, a), blocks)
