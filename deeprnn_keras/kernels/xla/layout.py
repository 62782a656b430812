"""Conversion between batch-major sequences (n, T, d) and feature-major pieces of the batch and chunks of time.

The examples of a batch are independent. Two half batches are two loops over time that run in parallel, whereas one loop
uses a single core for everything but large products. The batch is padded to a planned size, so that XLA compiles few
shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from deeprnn_keras._types import Tensor
from deeprnn_keras.kernels.xla.plan import Plan, Size, round_up


class Span(NamedTuple):
    """Mask and length of a chunk of time.

    Attributes:
        mask: (T_k, 1, n) of bool, or None.
        steps: Number of steps that are not padding; None if the chunk has no padding.
    """

    mask: Tensor | None
    steps: Tensor | None


class Piece(NamedTuple):
    """Feature-major examples of a batch, with time in chunks.

    Attributes:
        chunks: (T_k, d, n) each.
        states: (h, n) each.
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
        states: (n, width) each.
        mask: (n, T), or None.
        plan: Plan of the run.
        dtype: Dtype to compute in.
    """
    sequences, *states = [tf.cast(tensor, dtype) for tensor in (sequences, *states)]
    mask = None if mask is None else tf.cast(mask, "bool")
    if mask is not None:
        sequences = zero_unless(mask[:, :, None], sequences)  # a NaN at a masked step must not spread
    pieces = []
    for x, mask_piece, *states_piece in _split_batch([sequences, mask, *states], plan.batch_size, plan.pieces):
        masks = [None] * len(plan.chunks)
        if mask_piece is not None:
            masks = _split_time(tf.transpose(mask_piece)[:, None], plan)
        spans = [
            Span(chunk_mask, tf.convert_to_tensor(steps) if plan.padded else None)
            for chunk_mask, steps in zip(masks, plan.chunks, strict=True)
        ]
        chunks = _split_time(tf.transpose(x, (1, 2, 0)), plan)
        pieces.append(Piece(chunks, [tf.transpose(state) for state in states_piece], spans))
    return pieces


def join_pieces(results: Sequence[Sequence[Tensor]], sequences: Tensor) -> list[Tensor]:
    """Return batch-major tensors (n, T, w) or (n, w) from one list of tensors (T, w, n) or (w, n) per piece."""
    batch_size = tf.shape(sequences)[0] if sequences.shape[0] is None else sequences.shape[0]
    parts = [[_to_batch_major(tensor) for tensor in result] for result in results]
    joined = parts[0] if len(parts) == 1 else [tf.concat(tensors, 0) for tensors in zip(*parts, strict=True)]
    return [_unpad_batch(tensor, batch_size) for tensor in joined]


def _to_batch_major(tensor: Tensor) -> Tensor:
    return tf.transpose(tensor, (2, 0, 1)) if len(tensor.shape) == 3 else tf.transpose(tensor)


def _unpad_batch(tensor: Tensor, batch_size: Size) -> Tensor:
    return tensor if isinstance(batch_size, int) and batch_size == tensor.shape[0] else tensor[:batch_size]


def _split_batch(tensors: Sequence[Tensor | None], batch_size: Size, pieces: int) -> list[list[Tensor | None]]:
    """Return the batch-major tensors, padded to `batch_size` rows, as one list for each of `pieces`."""
    padded = [None if tensor is None else _pad_batch(tensor, batch_size) for tensor in tensors]
    if pieces == 1:
        return [padded]
    rows = -(-batch_size // pieces)  # with one row, the second piece has no rows
    return [[None if t is None else t[i * rows : (i + 1) * rows] for t in padded] for i in range(pieces)]


def _pad_batch(tensor: Tensor, batch_size: Size) -> Tensor:
    """Return the tensor padded to `batch_size` rows with copies of its last row, without a gradient.

    Values computed for a copy are finite wherever those of the row are.
    """
    rows = tensor.shape[0]
    if isinstance(batch_size, int) and batch_size == rows:
        return tensor
    missing = batch_size - (tf.shape(tensor)[0] if rows is None else rows)
    return tf.concat([tensor, tf.stop_gradient(tf.repeat(tensor[-1:], missing, axis=0))], 0)


def _split_time(x: Tensor, plan: Plan) -> list[Tensor]:
    """Return the chunks of x along its first axis, zero-padded to a rounded length with `plan.padded`."""
    chunks = [x] if len(plan.chunks) == 1 else tf.split(x, plan.chunks, num=len(plan.chunks))
    if not plan.padded:
        return chunks
    return [
        tf.pad(chunk, [[0, round_up(tf.maximum(steps, 1)) - steps], [0, 0], [0, 0]])
        for chunk, steps in zip(chunks, plan.chunks, strict=True)
    ]


def reverse_chunks(chunks: Sequence[Tensor], spans: Sequence[Span]) -> list[Tensor]:
    """Return the chunks of the sequence reversed in time."""
    return [_reverse_time(chunk, span.steps) for chunk, span in zip(reversed(chunks), reversed(spans), strict=True)]


def reverse_spans(spans: Sequence[Span]) -> list[Span]:
    """Return the spans of `reverse_chunks(chunks, spans)`."""
    return [Span(None if span.mask is None else _reverse_time(*span), span.steps) for span in reversed(spans)]


def _reverse_time(chunk: Tensor, steps: Tensor | None) -> Tensor:
    """Return the chunk reversed in time; padding stays at the end."""
    reversed_chunk = tf.reverse(chunk, [0])
    return reversed_chunk if steps is None else tf.roll(reversed_chunk, steps, 0)


def join_chunks(chunks: Sequence[Tensor], spans: Sequence[Span]) -> Tensor:
    """Return the chunks concatenated along time, without padding."""
    parts = [chunk if span.steps is None else chunk[: span.steps] for chunk, span in zip(chunks, spans, strict=True)]
    return parts[0] if len(parts) == 1 else tf.concat(parts, 0)


def join_masks(spans: Sequence[Span]) -> Tensor | None:
    """Return the mask (T, 1, n) of all chunks, or None."""
    return None if spans[0].mask is None else join_chunks([span.mask for span in spans], spans)


def zero_unless(mask: Tensor, x: Tensor) -> Tensor:
    """Return x with 0 where the mask is False."""
    return tf.where(mask, x, tf.zeros_like(x))


def from_first_valid(mask: Tensor) -> Tensor:
    """Return a mask (T, 1, n) that is True from the first valid step of each example on."""
    return tf.cumsum(tf.cast(mask, tf.int32), 0) > 0


def any_valid(spans: Sequence[Span]) -> Tensor:
    """Return a mask (1, n) that is True for examples with at least one valid step."""
    return tf.reduce_any([tf.reduce_any(span.mask, 0) for span in spans], 0)
