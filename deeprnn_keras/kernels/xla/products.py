"""The large products at the end of the backward pass: feature-major sequences (T, rows, n) as one matrix."""

import tensorflow as tf


def flat(x):
    """Return (rows, T n) of (T, rows, n)."""
    return tf.reshape(tf.transpose(x, (1, 0, 2)), (x.shape[1], -1))


def product_over_time(left, right):
    """Return the sum over steps and examples of left_t right_t^T, (a, b), of (a, T n) and (b, T n)."""
    return tf.matmul(left, right, transpose_b=True)


def unflat(x, like):
    """Return (T, rows, n) of (rows, T n), with T and n of `like` (T, d, n)."""
    steps, batch = (tf.shape(like)[axis] if like.shape[axis] is None else like.shape[axis] for axis in (0, 2))
    return tf.transpose(tf.reshape(x, (x.shape[0], steps, batch)), (1, 0, 2))
