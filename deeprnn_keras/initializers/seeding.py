"""Reuse of one initializer for several weights.

A Keras initializer object returns the same values on every call, seeded or not. Two layers, two directions, or two
gates that share an object would start with identical weights; each therefore uses a copy with a different seed.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import keras
import numpy as np
from keras import ops

from deeprnn_keras._types import Tensor

InitializerObject: TypeAlias = Any
"""A Keras initializer, called with (shape, dtype); Keras has no common type for objects and functions."""


@runtime_checkable
class Reseedable(Protocol):
    """Initializer that creates its own copies for other seeds."""

    def reseeded(self, use: str, number: int) -> InitializerObject:
        """Return a copy with a seed derived from its seed, `use`, and `number`."""
        ...


@runtime_checkable
class CellAware(Protocol):
    """Initializer that depends on the gates of the cell."""

    def for_cell(self, cell: str) -> InitializerObject:
        """Return this initializer for a cell, "rnn", "gru", or "lstm"."""
        ...


@runtime_checkable
class GateAware(Protocol):
    """Bias initializer that sets individual gates."""

    def gate_values(self, keep_gate: str, write_gate: str | None, units: int) -> dict[str, Tensor]:
        """Return the biases {gate: values (units,)} of the gates that it sets."""
        ...


@runtime_checkable
class DrawsAllBlocks(Protocol):
    """Initializer of all blocks of a map at once, whose values depend on each other; the attribute is True."""

    draws_all_blocks: bool


class HasCell(Protocol):
    """Initializer with an argument `cell`."""

    cell: str | None


def derived_seed(seed: int, use: str, number: int) -> int:
    """Return a seed that is determined by `seed`, `use`, and `number`, and differs if one of them does."""
    sequence = np.random.SeedSequence([seed % 2**63, zlib.crc32(use.encode()), number])
    return int(sequence.generate_state(1)[0] >> 1)


def reseeded(initializer: InitializerObject, use: str, number: int) -> InitializerObject:
    """Return a copy of an initializer with a seed of its own.

    For number 0, `initializer` itself is returned. It is also returned for every number if it is not random, or if it
    draws from a `SeedGenerator`, whose state advances with every call.

    Args:
        initializer: Initializer of several weights.
        use: Name of what the weights belong to, for example "layer" or "block". Copies of copies, as for block 2 of
            layer 3, have different seeds only if the uses have different names.
        number: Number of the weight among those of this use.
    """
    if number == 0:
        return initializer
    if isinstance(initializer, Reseedable):
        return initializer.reseeded(use, number)
    seed = getattr(initializer, "seed", None)
    if not isinstance(seed, int):
        return initializer
    return type(initializer).from_config({**initializer.get_config(), "seed": derived_seed(seed, use, number)})


def check_same_cell(initializer: HasCell, cell: str) -> None:
    """Raise a ValueError if the argument `cell` of an initializer differs from the cell of its layer."""
    if initializer.cell not in (None, cell):
        raise ValueError(
            f"{type(initializer).__name__}(cell={initializer.cell!r}) does not fit a layer with cell={cell!r}; "
            f"omit cell or pass cell={cell!r}"
        )


def draw(initializer: InitializerObject, shape: Sequence[int], dtype: str | None = None) -> Tensor:
    """Return `initializer(shape)`, computed in float32 and cast to `dtype`.

    Orthogonal initialization and others use operations, for example QR, that do not support half precision.
    """
    return ops.cast(initializer(shape, dtype="float32"), dtype or keras.config.floatx())
