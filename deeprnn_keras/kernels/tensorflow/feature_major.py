"""From batch-major sequences (n, T, d) to what the fused kernel wants, x (T, d, n), and back."""

from typing import NamedTuple

import tensorflow as tf

from deeprnn_keras.kernels.tensorflow import batch
from deeprnn_keras.kernels.tensorflow.fused import fused, plain


class Span(NamedTuple):
    """A chunk of time, whatever is in it.

    Attributes:
        mask: (T_k, 1, n) of bool, or None.
        steps: how many of the T_k steps there are, the rest is padding; None: all.
    """

    mask: object
    steps: object


class Piece(NamedTuple):
    """Some examples of a batch, feature-major, time in chunks.

    Attributes:
        chunks: list of (T_k, d, n).
        states: list of (h, n).
        spans: one `Span` per chunk.
    """

    chunks: list
    states: list
    spans: list


def in_feature_major(function, sequences, states, mask, plan, dtype):
    """Runs `function(Piece) -> list of (T, w, n) or (w, n)` on the pieces of a batch.

    Args:
        sequences: (n, T, d).
        states: list of (n, h).
        mask: (n, T) or None.
        plan: a `Plan`.
        dtype: to compute in.

    Returns:
        The list of (n, T, w) or (n, w), in `dtype`.
    """
    size = tf.shape(sequences)[0] if sequences.shape[0] is None else sequences.shape[0]
    tensors = [tf.cast(tensor, dtype) for tensor in (sequences, *states)]
    if mask is not None:
        mask = tf.cast(mask, "bool")
        tensors[0] = zero_where_not(mask[:, :, None], tensors[0])  # NaN at a masked step stays there
    results = []
    for x, mask_piece, *state in batch.split([tensors[0], mask, *tensors[1:]], plan.rows, plan.pieces):
        masks = [None] * len(plan.chunks)
        if mask is not None:
            masks = _chunked(tf.transpose(mask_piece)[:, None], plan)
        spans = [
            Span(m, tf.convert_to_tensor(steps) if plan.padded else None)
            for m, steps in zip(masks, plan.chunks, strict=True)
        ]
        piece = Piece(_chunked(tf.transpose(x, (1, 2, 0)), plan), [tf.transpose(part) for part in state], spans)
        results.append([_batch_major(tensor) for tensor in function(piece)])
    return batch.join(results, size)


def _batch_major(tensor):
    return tf.transpose(tensor, (2, 0, 1)) if len(tensor.shape) == 3 else tf.transpose(tensor)


def _chunked(x, plan):
    """x in pieces along its first axis, each filled up with zeros if it is to be padded."""
    chunks = [x] if len(plan.chunks) == 1 else tf.split(x, plan.chunks, num=len(plan.chunks))
    if not plan.padded:
        return chunks
    return [
        tf.pad(chunk, [[0, batch.rounded_up(tf.maximum(steps, 1)) - steps], [0, 0], [0, 0]])
        for chunk, steps in zip(chunks, plan.chunks, strict=True)
    ]


def run_chunks(recurrence, chunks, spans, weights, states, plan):
    """A recurrence over chunks in the order in which it reads: -> hs per chunk, final states.

    The next layer may begin with the first chunk while this one is at the second: on a graph two cores work on two
    layers at once.
    """
    outputs = []
    for x, span in zip(chunks, spans, strict=True):
        read = recurrence.read(x, weights)
        if plan.exported:
            hs, states = plain(recurrence, read, weights, states, span)
        else:
            hs, states = fused(recurrence, read, weights, states, span, plan.keep, plan.compiled)
        outputs.append(hs)
    return outputs, states


def backwards(chunks, spans):
    """Chunks in the opposite order, each from its end."""
    return [_flipped(chunk, span.steps) for chunk, span in zip(reversed(chunks), reversed(spans), strict=True)]


def spans_backwards(spans):
    """The spans of `backwards(chunks, spans)`."""
    return [Span(None if span.mask is None else _flipped(*span), span.steps) for span in reversed(spans)]


def _flipped(chunk, steps):
    """From the last step to the first; what is padding stays at the end."""
    flipped = tf.reverse(chunk, [0])
    return flipped if steps is None else tf.roll(flipped, steps, 0)


def joined(chunks, spans):
    """Chunks along time as one tensor, without padding."""
    parts = [chunk if span.steps is None else chunk[: span.steps] for chunk, span in zip(chunks, spans, strict=True)]
    return parts[0] if len(parts) == 1 else tf.concat(parts, 0)


def joined_mask(spans):
    """The mask (T, 1, n) of all chunks, or None."""
    return None if spans[0].mask is None else joined([span.mask for span in spans], spans)


def zero_where_not(mask, x):
    """x, and 0 where the mask is False."""
    return tf.where(mask, x, tf.zeros_like(x))


def seen(mask):
    """True from each example's first valid step on, (T, 1, n)."""
    return tf.cumsum(tf.cast(mask, tf.int32), 0) > 0


def any_valid(spans):
    """True for examples with a valid step, (1, n)."""
    return tf.reduce_any([tf.reduce_any(span.mask, 0) for span in spans], 0)
