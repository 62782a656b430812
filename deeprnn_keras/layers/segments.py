"""Segments of sequences between resets, for example the documents of a packed sequence, as rows of a larger batch.

No state crosses the border of a segment, so that segments are independent sequences, and every implementation runs
them exactly: n rows of T steps become one row per segment, right-padded to the longest segment. A row may then be
shorter, and more rows are processed at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from keras import ops

from deeprnn_keras._types import Tensor


class Segments:
    """Division of sequences (n, T, ...) into segments, and back.

    Args:
        resets: Mask (n, T) of bool, true at the first step of a segment. Each row begins one, too; there the mask
            tells whether the initial states of the forward direction replace the given ones.
        bidirectional: True if the states of a level are those of a forward and of a backward direction, which reads
            the last segment of a row first.
    """

    def __init__(self, resets: Tensor, bidirectional: bool) -> None:
        self.bidirectional = bidirectional
        n, self.steps = ops.shape(resets)
        total = n * self.steps
        resets = ops.reshape(resets, (-1,))
        step = ops.arange(total, dtype="int32")
        begins = ops.logical_or(resets, ops.equal(step % self.steps, 0))
        self._number = ops.cumsum(ops.cast(begins, "int32")) - 1  # of the segment of each step
        self._begin = ops.cast(ops.nonzero(begins)[0], "int32")  # of each segment, as a step of all n T
        end = ops.concatenate([self._begin[1:], ops.cast(ops.reshape(total, (1,)), "int32")], 0)
        self._length = end - self._begin
        self.count = ops.shape(self._begin)[0]
        self._longest = ops.max(self._length)
        self._row = self._begin // self.steps
        first_step = ops.arange(n, dtype="int32") * self.steps
        self._first = ops.take(self._number, first_step)  # segment of each row
        self._last = ops.take(self._number, first_step + self.steps - 1)
        continues = ops.logical_not(ops.take(resets, self._begin))
        self._reads_state = [ops.logical_and(ops.equal(self._begin % self.steps, 0), continues)]
        if bidirectional:
            self._reads_state.append(ops.equal(end % self.steps, 0))

    def split(self, sequences: Tensor) -> Tensor:
        """Return sequences (n, T, d) as (segments, longest segment, d); the padding repeats the last step."""
        position = ops.minimum(self._positions(), self._length[:, None] - 1)
        flat = ops.reshape(sequences, (-1, *sequences.shape[2:]))
        return ops.take(flat, self._begin[:, None] + position, axis=0)

    def split_mask(self, mask: Tensor | None) -> Tensor:
        """Return the mask (segments, longest segment) of a mask (n, T), false at padding."""
        inside = self._positions() < self._length[:, None]
        return inside if mask is None else ops.logical_and(inside, self.split(ops.cast(mask, "bool")))

    def split_rows(self, rows: Tensor | None) -> Tensor | None:
        """Return values (n, width) of the rows for each of their segments, or None for None."""
        return None if rows is None else ops.take(rows, self._row, axis=0)

    def split_states(self, states: Sequence[Tensor], initial: Sequence[Tensor]) -> list[Tensor]:
        """Return the states before each segment.

        Args:
            states: States (n, width) of a level before the first step, forward before backward; empty for `initial`.
            initial: States (segments, width) that all other segments begin with.
        """
        if not states:
            return list(initial)
        of_segments = [ops.take(state, self._row, axis=0) for state in states]
        conditions = self._by_direction(self._reads_state, len(states))
        return [
            ops.where(condition[:, None], state, other)
            for condition, state, other in zip(conditions, of_segments, initial, strict=True)
        ]

    def join(self, outputs: Tensor) -> Tensor:
        """Return outputs (segments, longest segment, q) as (n, T, q)."""
        width = outputs.shape[-1]
        position = ops.arange(ops.shape(self._number)[0], dtype="int32") - ops.take(self._begin, self._number)
        index = self._number * ops.cast(ops.shape(outputs)[1], "int32") + position
        return ops.reshape(ops.take(ops.reshape(outputs, (-1, width)), index, axis=0), (-1, self.steps, width))

    def join_states(self, states: Sequence[Tensor]) -> list[Tensor]:
        """Return the states (n, width) of a level after the segment that each direction reads last."""
        read_last = self._by_direction([self._last, self._first], len(states))
        return [ops.take(state, segment, axis=0) for state, segment in zip(states, read_last, strict=True)]

    def join_last(self, outputs: Tensor, units: Sequence[int]) -> Tensor:
        """Return the last outputs (segments, q) as (n, q), those of the segment that each direction reads last.

        Args:
            outputs: The outputs; if bidirectional, h forward and h backward features for each number of units h.
            units: Numbers of hidden units of the levels whose outputs are concatenated.
        """
        forward = ops.take(outputs, self._last, axis=0)
        if not self.bidirectional:
            return forward
        is_forward = np.concatenate([np.arange(2 * h) < h for h in units])
        return ops.where(is_forward, forward, ops.take(outputs, self._first, axis=0))

    def _positions(self) -> Tensor:
        return ops.arange(self._longest, dtype="int32")[None]

    def _by_direction(self, values: Sequence[Tensor], count: int) -> list[Tensor]:
        """Return the value of the direction of each of `count` states."""
        if not self.bidirectional:
            return [values[0]] * count
        return [values[direction] for direction in (0, 1) for _ in range(count // 2)]
