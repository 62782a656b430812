"""Matrix products over all time steps at once, on feature-major sequences (T, rows, n)."""

from __future__ import annotations

import tensorflow as tf

from deeprnn_keras._types import Tensor


def merge_time(x: Tensor) -> Tensor:
    """Return a sequence (T, rows, n) as a matrix (rows, T n)."""
    return tf.reshape(tf.transpose(x, (1, 0, 2)), (x.shape[1], -1))


def split_time(x: Tensor, like: Tensor) -> Tensor:
    """Return a matrix (rows, T n) as a sequence (T, rows, n), with T and n of `like` (T, d, n)."""
    steps, batch = (tf.shape(like)[axis] if like.shape[axis] is None else like.shape[axis] for axis in (0, 2))
    return tf.transpose(tf.reshape(x, (x.shape[0], steps, batch)), (1, 0, 2))


def sum_outer_products(left: Tensor, right: Tensor) -> Tensor:
    """Return the sum of left_t right_t^T over steps and examples, (a, b), for matrices (a, T n) and (b, T n)."""
    return tf.matmul(left, right, transpose_b=True)
