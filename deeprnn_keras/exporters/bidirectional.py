"""Pairs of recurrences that are one bidirectional operator."""

from __future__ import annotations

from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

Pair = tuple[op.Recurrent, op.Recurrent]
"""A forward and a reverse recurrence that differ in their weights only."""


def bidirectional_pairs(program: Program) -> dict[str, Pair]:
    """Return {name: pair} of the recurrences that one operator can execute in pairs; both names have an entry.

    The two read the same value and have the same cell, without dilation.
    """
    pairs: dict[str, Pair] = {}
    waiting: dict[tuple[object, ...], op.Recurrent] = {}
    for one in program.operations:
        if not isinstance(one, op.Recurrent) or one.rate > 1:
            continue
        kind = (one.inputs, one.width, one.cell, one.activation, one.recurrent_activation, one.bias is None)
        kind = (*kind, len(one.initial))
        other = waiting.pop((not one.reverse, *kind), None)
        if other is None:
            waiting[one.reverse, *kind] = one
        else:
            pair = (other, one) if one.reverse else (one, other)
            pairs |= {one.name: pair, other.name: pair}
    return pairs
