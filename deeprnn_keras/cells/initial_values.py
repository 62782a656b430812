"""Initial weights of cells with equations: each block of a map is drawn as a map of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from deeprnn_keras.equations import DiagonalMap, Equations
from deeprnn_keras.equations.maps import NamedMap
from deeprnn_keras.initializers.seeding import draw, reseeded

Draw = Callable[..., Any]  # (shape, dtype) -> tensor
DEFAULTS = {"kernel": "glorot_uniform", "recurrent": "orthogonal", "hidden": "glorot_uniform"}
DIAGONAL_DEFAULT = "ones"  # keeps the length of the state, as an orthogonal matrix does


def map_weights(
    maps: Sequence[NamedMap], initializers: Mapping[str, Any]
) -> dict[str, tuple[tuple[int, ...], Draw, str]]:
    """Return {name: (shape, draw, role)} of the weights of the maps.

    Args:
        maps: The maps of the equations.
        initializers: {role: initializer, or None for the default}.
    """
    found = {}
    for place, known in enumerate(maps):
        default = DIAGONAL_DEFAULT if isinstance(known, DiagonalMap) else DEFAULTS[known.role]
        initializer = initializers[known.role] or keras.initializers.get(default)
        if hasattr(initializer, "for_cell"):
            initializer = initializer.for_cell("rnn")  # a block is one gate
        found[known.name] = known.shape, _by_blocks(known, known.shape[:-1], initializer, place), known.role
    return found


def map_biases(
    equations: Equations, maps: Sequence[NamedMap], initializer: Any
) -> dict[str, tuple[tuple[int, ...], Draw, str]]:
    """Return {name: (shape, draw, "bias")} of the biases of the maps.

    Args:
        equations: Whose maps they are.
        maps: The maps.
        initializer: None: 0, and what the equations ask for; one that knows gates: 0, and its values for the gates that
            keep the state and those that write to it; any other draws every block.
    """
    keep = equations.default_keep_bias() if initializer is None else None
    write = None
    if hasattr(initializer, "gate_values"):
        values = initializer.gate_values("keep", "write", equations.units)
        keep, write = values["keep"], values.get("write")
    initial = {} if keep is None else equations.gate_biases(keep, write)
    found = {}
    for place, known in enumerate(maps):
        if known.bias is None:
            continue
        if initializer is None or hasattr(initializer, "gate_values"):
            draws = _from_values(known, initial)
        else:
            draws = _by_blocks(known, (), initializer, place)
        found[known.bias] = (len(known.blocks) * known.width,), draws, "bias"
    return found


def _by_blocks(known: NamedMap, rows: tuple[int, ...], initializer: Any, place: int) -> Draw:
    def start(shape: Sequence[int], dtype: Any = None) -> Any:
        blocks = [
            draw(reseeded(initializer, 1000 * place + number), (*rows, known.width), dtype)
            for number in range(len(known.blocks))
        ]
        return ops.concatenate(blocks, axis=-1)

    return start


def _from_values(known: NamedMap, initial: Mapping[tuple[str, str], Any]) -> Draw:
    def start(shape: Sequence[int], dtype: Any = None) -> Any:
        blocks = [
            ops.broadcast_to(ops.cast(initial.get((known.bias, block), 0.0), "float32"), (known.width,))
            for block in known.blocks
        ]
        return ops.cast(ops.concatenate(blocks), dtype or keras.config.floatx())

    return start
