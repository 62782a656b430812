"""From batch-major sequences (n, T, d) to feature-major pieces of batch and time, and back.

The examples of a batch are independent of each other. Two halves are two loops over time that run at once, where one
loop would leave a core idle during everything that is not a large product. The batch is filled up to a planned size, so
that XLA compiles few shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from deeprnn_keras.kernels.xla.plan import Plan, rounded_up

Tensor = Any


class Span(NamedTuple):
    """Mask and length of a chunk of time.

    Attributes:
        mask: (T_k, 1, n) of bool, or None.
        steps: Number of the T_k steps that are real, the rest is padding; None: all.
    """

    mask: Tensor | None
    steps: Tensor | None


class Piece(NamedTuple):
    """Some examples of a batch, feature-major, time in chunks.

    Attributes:
        chunks: List of (T_k, d, n).
        states: List of (h, n).
        spans: One `Span` per chunk.
    """

    chunks: list[Tensor]
    states: list[Tensor]
    spans: list[Span]


def split_into_pieces(
    sequences: Tensor, states: Sequence[Tensor], mask: Tensor | None, plan: Plan, dtype: str
) -> list[Piece]:
    """Return the pieces of a batch.

    Args:
        sequences: (n, T, d).
        states: List of (n, h).
        mask: (n, T), or None.
        plan: How many pieces and chunks.
        dtype: Precision to compute in.
    """
    tensors = [tf.cast(tensor, dtype) for tensor in (sequences, *states)]
    if mask is not None:
        mask = tf.cast(mask, "bool")
        tensors[0] = zero_where_not(mask[:, :, None], tensors[0])  # NaN at a masked step stays there
    pieces = []
    for x, mask_piece, *state in _split_batch([tensors[0], mask, *tensors[1:]], plan.rows, plan.pieces):
        masks = [None] * len(plan.chunks)
        if mask is not None:
            masks = _split_time(tf.transpose(mask_piece)[:, None], plan)
        spans = [
            Span(m, tf.convert_to_tensor(steps) if plan.padded else None)
            for m, steps in zip(masks, plan.chunks, strict=True)
        ]
        chunks = _split_time(tf.transpose(x, (1, 2, 0)), plan)
        pieces.append(Piece(chunks, [tf.transpose(part) for part in state], spans))
    return pieces


def join_pieces(results: Sequence[Sequence[Tensor]], sequences: Tensor) -> list[Tensor]:
    """Return the batch-major tensors (n, T, w) or (n, w) of equal lists, one per piece, of (T, w, n) or (w, n)."""
    batch = tf.shape(sequences)[0] if sequences.shape[0] is None else sequences.shape[0]
    parts = [[_batch_major(tensor) for tensor in result] for result in results]
    joined = parts[0] if len(parts) == 1 else [tf.concat(tensors, 0) for tensors in zip(*parts, strict=True)]
    return [_cut(tensor, batch) for tensor in joined]


def _batch_major(tensor: Tensor) -> Tensor:
    return tf.transpose(tensor, (2, 0, 1)) if len(tensor.shape) == 3 else tf.transpose(tensor)


def _cut(tensor: Tensor, batch: Any) -> Tensor:
    return tensor if isinstance(batch, int) and batch == tensor.shape[0] else tensor[:batch]


def _split_batch(tensors: Sequence[Tensor | None], rows: Any, pieces: int) -> list[list[Tensor | None]]:
    """Return for each of `pieces` the list of its batch-first tensors, of `rows` rows in all."""
    filled = [None if tensor is None else _filled(tensor, rows) for tensor in tensors]
    if pieces == 1:
        return [filled]
    each = -(-rows // pieces)  # of one row the second piece has none
    return [[None if t is None else t[i * each : (i + 1) * each] for t in filled] for i in range(pieces)]


def _filled(tensor: Tensor, rows: Any) -> Tensor:
    """Return the tensor filled up to `rows` with copies of its last row, without a gradient.

    What is finite for that row is finite for its copies.
    """
    batch = tensor.shape[0]
    if isinstance(rows, int) and rows == batch:
        return tensor
    missing = rows - (tf.shape(tensor)[0] if batch is None else batch)
    return tf.concat([tensor, tf.stop_gradient(tf.repeat(tensor[-1:], missing, axis=0))], 0)


def _split_time(x: Tensor, plan: Plan) -> list[Tensor]:
    """Return x in chunks along its first axis, each filled up with zeros if it is to be padded."""
    chunks = [x] if len(plan.chunks) == 1 else tf.split(x, plan.chunks, num=len(plan.chunks))
    if not plan.padded:
        return chunks
    return [
        tf.pad(chunk, [[0, rounded_up(tf.maximum(steps, 1)) - steps], [0, 0], [0, 0]])
        for chunk, steps in zip(chunks, plan.chunks, strict=True)
    ]


def reverse_chunks(chunks: Sequence[Tensor], spans: Sequence[Span]) -> list[Tensor]:
    """Return the chunks in the opposite order, each from its end."""
    return [_reversed(chunk, span.steps) for chunk, span in zip(reversed(chunks), reversed(spans), strict=True)]


def reverse_spans(spans: Sequence[Span]) -> list[Span]:
    """Return the spans of `reverse_chunks(chunks, spans)`."""
    return [Span(None if span.mask is None else _reversed(*span), span.steps) for span in reversed(spans)]


def _reversed(chunk: Tensor, steps: Tensor | None) -> Tensor:
    """Return the chunk from its last step to its first; padding stays at the end."""
    flipped = tf.reverse(chunk, [0])
    return flipped if steps is None else tf.roll(flipped, steps, 0)


def join_chunks(chunks: Sequence[Tensor], spans: Sequence[Span]) -> Tensor:
    """Return the chunks along time as one tensor, without padding."""
    parts = [chunk if span.steps is None else chunk[: span.steps] for chunk, span in zip(chunks, spans, strict=True)]
    return parts[0] if len(parts) == 1 else tf.concat(parts, 0)


def join_masks(spans: Sequence[Span]) -> Tensor | None:
    """Return the mask (T, 1, n) of all chunks, or None."""
    return None if spans[0].mask is None else join_chunks([span.mask for span in spans], spans)


def zero_where_not(mask: Tensor, x: Tensor) -> Tensor:
    """Return x, and 0 where the mask is False."""
    return tf.where(mask, x, tf.zeros_like(x))


def since_first_valid(mask: Tensor) -> Tensor:
    """Return True from each example's first valid step on, (T, 1, n)."""
    return tf.cumsum(tf.cast(mask, tf.int32), 0) > 0


def any_valid(spans: Sequence[Span]) -> Tensor:
    """Return True for examples with a valid step, (1, n)."""
    return tf.reduce_any([tf.reduce_any(span.mask, 0) for span in spans], 0)
