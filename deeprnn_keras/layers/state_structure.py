"""Conversion of a stack's state between a flat list per layer and the structure of `initial_state`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from deeprnn_keras._types import Nested, Tensor

Leaf = TypeVar("Leaf")


def pack_state(states: Sequence[Sequence[Leaf]]) -> list[Leaf | list[Leaf]]:
    """Return the structure of `initial_state`: per layer, a tensor if it has one state, a list if it has several.

    Args:
        states: For each layer, a flat list of tensors (or of shapes, masks, …).
    """
    return [layer[0] if len(layer) == 1 else list(layer) for layer in states]


def unpack_state(state: Nested, sizes: Sequence[Sequence[int]], batch_size: int | None) -> list[list[Tensor]]:
    """Return a flat list of tensors per layer; empty lists if `state` is None.

    Args:
        state: Argument `initial_state` of the call.
        sizes: For each layer, a list of the widths of its states.
        batch_size: n, or None if unknown.

    Raises:
        ValueError: If the structure, a rank, a width, or the batch size of `state` is not as expected.
    """
    if state is None:
        return [[] for _ in sizes]
    if not isinstance(state, (list, tuple)) or len(state) != len(sizes):
        raise ValueError(_message(state, sizes))
    layers = [list(entry) if isinstance(entry, (list, tuple)) else [entry] for entry in state]
    for layer, widths in zip(layers, sizes, strict=True):
        if len(layer) != len(widths) or not all(map(_fits, layer, widths, [batch_size] * len(widths))):
            raise ValueError(_message(state, sizes))
    return layers


def _fits(tensor: Tensor, width: int, batch_size: int | None) -> bool:
    shape = getattr(tensor, "shape", None)
    if shape is None or len(shape) != 2:
        return False
    return shape[1] == width and (batch_size is None or shape[0] is None or shape[0] == batch_size)


def _message(state: Nested, sizes: Sequence[Sequence[int]]) -> str:
    return f"initial_state must be {_expected(sizes)}, got {_description(state)}"


def _expected(sizes: Sequence[Sequence[int]]) -> str:
    entries = pack_state([[f"(n, {width})" for width in widths] for widths in sizes])
    shapes = str(entries).replace("'", "")
    return f"a list with one entry per layer, of shapes {shapes}"


def _description(value: Nested) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_description, value)) + "]"
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__} of shape {tuple(shape)}" if shape is not None else repr(value)
