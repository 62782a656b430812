"""From batch-major sequences (n, T, d) to what the fused kernel wants, x (T, d, n), and back."""

from typing import NamedTuple

import tensorflow as tf

from deeprnn_keras.kernels.tensorflow import batch
from deeprnn_keras.kernels.tensorflow.fused import fused


class Piece(NamedTuple):
    """Some examples of a batch, feature-major, time in chunks.

    Attributes:
        chunks: list of (T_k, d, n).
        states: list of (h, n).
        masks: list of (T_k, 1, n) of bool, or a list of None.
    """

    chunks: list
    states: list
    masks: list


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
        x = tf.transpose(x, (1, 2, 0))
        masks = [None] * len(plan.chunks)
        if mask is not None:
            masks = chunked(tf.transpose(mask_piece)[:, None], plan.chunks)
        piece = Piece(chunked(x, plan.chunks), [tf.transpose(part) for part in state], masks)
        results.append([_batch_major(tensor) for tensor in function(piece)])
    return batch.join(results, size)


def _batch_major(tensor):
    return tf.transpose(tensor, (2, 0, 1)) if len(tensor.shape) == 3 else tf.transpose(tensor)


def chunked(x, lengths):
    """x in pieces along its first axis."""
    return [x] if len(lengths) == 1 else tf.split(x, lengths, num=len(lengths))


def run_chunks(recurrence, chunks, weights, states, masks, plan):
    """A recurrence over chunks in the order in which it reads: -> hs per chunk, final states.

    The next layer may begin with the first chunk while this one is at the second: on a graph two cores work on two
    layers at once.
    """
    outputs = []
    for x, mask in zip(chunks, masks, strict=True):
        hs, states = fused(recurrence, x, weights, states, mask, plan.keep, plan.compiled)
        outputs.append(hs)
    return outputs, states


def backwards(chunks):
    """Chunks in the opposite order, each from its end; None stays None."""
    return [None if chunk is None else tf.reverse(chunk, [0]) for chunk in reversed(chunks)]


def joined(chunks):
    """Chunks along time as one tensor."""
    return chunks[0] if len(chunks) == 1 else tf.concat(chunks, 0)


def zero_where_not(mask, x):
    """x, and 0 where the mask is False."""
    return tf.where(mask, x, tf.zeros_like(x))


def seen(mask):
    """True from each example's first valid step on, (T, 1, n)."""
    return tf.cumsum(tf.cast(mask, tf.int32), 0) > 0


def any_valid(masks):
    """True for examples with a valid step, (1, n)."""
    return tf.reduce_any([tf.reduce_any(mask, 0) for mask in masks], 0)
