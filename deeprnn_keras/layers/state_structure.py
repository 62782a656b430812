"""The state of a stack: a list with one entry per layer, a tensor where the layer has one state, else a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def join_state(states: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the public structure of flat lists per layer."""
    return [layer[0] if len(layer) == 1 else list(layer) for layer in states]


def split_state(state: Any, sizes: Sequence[Sequence[int]], batch: int | None) -> list[list[Any]]:
    """Return a flat list per layer of the public structure; empty lists of None.

    Args:
        state: What the user gave as `initial_state`.
        sizes: For each layer a list of widths.
        batch: n, or None where unknown.

    Raises:
        ValueError: If structure, rank, width, or batch size differ.
    """
    if state is None:
        return [[] for _ in sizes]
    if not isinstance(state, (list, tuple)) or len(state) != len(sizes):
        raise ValueError(f"initial_state must be {_expected(sizes)}, got {_describe(state)}")
    layers = [list(entry) if isinstance(entry, (list, tuple)) else [entry] for entry in state]
    for layer, widths in zip(layers, sizes, strict=True):
        if len(layer) != len(widths) or not all(map(_fits, layer, widths, [batch] * len(widths))):
            raise ValueError(f"initial_state must be {_expected(sizes)}, got {_describe(state)}")
    return layers


def _fits(tensor: Any, width: int, batch: int | None) -> bool:
    shape = getattr(tensor, "shape", None)
    if shape is None or len(shape) != 2:
        return False
    return shape[1] == width and (batch is None or shape[0] is None or shape[0] == batch)


def _expected(sizes: Sequence[Sequence[int]]) -> str:
    entries = join_state([[f"(n, {width})" for width in widths] for widths in sizes])
    shapes = str(entries).replace("'", "")
    return f"a list with one entry per layer, of shapes {shapes}"


def _describe(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_describe, value)) + "]"
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__} of shape {tuple(shape)}" if shape is not None else repr(value)
