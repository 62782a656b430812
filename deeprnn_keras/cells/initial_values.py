"""Initial weights of cells that are defined by an `Equations` object.

The weights of such a cell belong to named maps, defined in `equations/maps.py`. A map consists of blocks, one per gate
or stage, each of which is initialized as a separate matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import keras
from keras import ops

from deeprnn_keras._types import Tensor
from deeprnn_keras.equations import DiagonalMap, Equations
from deeprnn_keras.equations.maps import NamedMap
from deeprnn_keras.initializers.seeding import CellAware, DrawsAllBlocks, GateAware, InitializerObject, draw, reseeded

InitialValue: TypeAlias = "Callable[[Sequence[int], str | None], Tensor]"
"""Function (shape, dtype) -> initial value of a weight."""

DEFAULT_INITIALIZERS = {
    "kernel": "glorot_uniform",
    "recurrent": "orthogonal",
    "hidden": "glorot_uniform",
    "gain": "ones",
    "peephole": "zeros",
    "bias": "zeros",
}
DEFAULT_DIAGONAL_INITIALIZER = "ones"  # preserves the norm of the state, as an orthogonal matrix does


class WeightDescription(NamedTuple):
    """Description of a weight that a cell creates.

    Attributes:
        shape: Shape of the weight.
        initial_value: Function (shape, dtype) -> initial value.
        role: Role of the map, or "bias".
    """

    shape: tuple[int, ...]
    initial_value: InitialValue
    role: str


def map_weights(
    maps: Sequence[NamedMap], initializers: Mapping[str, InitializerObject | None]
) -> dict[str, WeightDescription]:
    """Return {name: description} of the weights of the maps, biases excluded.

    Args:
        maps: Maps of the equations.
        initializers: {role: initializer, or None for the default}.
    """
    weights = {}
    for index, named_map in enumerate(maps):
        initializer = _initializer(named_map, initializers)
        if isinstance(initializer, CellAware):
            initializer = initializer.for_cell("rnn")  # it is called once for each block, and "rnn" has a single block
        if isinstance(initializer, DrawsAllBlocks):
            initial_value = partial(draw, reseeded(initializer, "map", index))
        else:
            initial_value = _each_block_by(initializer, named_map, named_map.shape[:-1], index)
        weights[named_map.name] = WeightDescription(named_map.shape, initial_value, named_map.role)
    return weights


def _initializer(named_map: NamedMap, initializers: Mapping[str, InitializerObject | None]) -> InitializerObject:
    """Return the initializer that the user chose for the role of a map, if it is one of matrices, or the default."""
    role = named_map.role
    chosen = initializers[role] if role in ("kernel", "recurrent", "hidden") else None
    diagonal = role == "recurrent" and isinstance(named_map, DiagonalMap)
    return chosen or keras.initializers.get(DEFAULT_DIAGONAL_INITIALIZER if diagonal else DEFAULT_INITIALIZERS[role])


def map_biases(
    equations: Equations, maps: Sequence[NamedMap], initializer: InitializerObject | None
) -> dict[str, WeightDescription]:
    """Return {name: description} of the biases of the maps.

    Args:
        equations: Equations to which the maps belong.
        maps: Maps of the equations.
        initializer: If None, biases are 0, except those of the keep gates (gates that keep the state), for which the
            equations define a default. An initializer with `gate_values`, for example `ForgetBias`, sets the biases of
            the keep gates and of the write gates (gates that multiply the candidate), and all others to 0. Any other
            initializer is applied to each block separately.
    """
    keep = equations.default_keep_bias() if initializer is None else None
    write = None
    if isinstance(initializer, GateAware):
        values = initializer.gate_values("keep", "write", equations.units)
        keep, write = values["keep"], values.get("write")
    gate_biases = {} if keep is None else equations.gate_biases(keep, write)
    biases = {}
    for index, named_map in enumerate(maps):
        if named_map.bias is None:
            continue
        if initializer is None or isinstance(initializer, GateAware):
            initial_value = _each_block_from(gate_biases, named_map, named_map.bias)
        else:
            initial_value = _each_block_by(initializer, named_map, (), index)
        shape = (len(named_map.blocks) * named_map.width,)
        biases[named_map.bias] = WeightDescription(shape, initial_value, "bias")
    return biases


def _each_block_by(
    initializer: InitializerObject, named_map: NamedMap, rows: tuple[int, ...], index: int
) -> InitialValue:
    """Return a function that initializes each block with `initializer`, with a different seed for each block.

    Args:
        initializer: Initializer.
        named_map: The map.
        rows: Shape of a block without its last axis: (input_dim,) for a matrix, () for a diagonal map or a bias.
        index: Index of the map, so that different maps get different seeds.
    """
    of_map = reseeded(initializer, "map", index)

    def initial_value(shape: Sequence[int], dtype: str | None = None) -> Tensor:
        blocks = [
            draw(reseeded(of_map, "block", number), (*rows, named_map.width), dtype)
            for number in range(len(named_map.blocks))
        ]
        return ops.concatenate(blocks, axis=-1)

    return initial_value


def _each_block_from(values: Mapping[tuple[str, str], Tensor], named_map: NamedMap, bias: str) -> InitialValue:
    """Return a function that fills each block with its value in {(bias, block): value}, or with 0."""

    def initial_value(shape: Sequence[int], dtype: str | None = None) -> Tensor:
        blocks = [
            ops.broadcast_to(ops.cast(values.get((bias, block), 0.0), "float32"), (named_map.width,))
            for block in named_map.blocks
        ]
        return ops.cast(ops.concatenate(blocks), dtype or keras.config.floatx())

    return initial_value
