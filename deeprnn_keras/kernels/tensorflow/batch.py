"""The batch in pieces of bounded variety: rounded up, so that XLA compiles few sizes, and split among the cores.

The examples of a batch do not know of each other. Two halves are two loops over time that run at once, where one
loop would leave a core idle during all that is not a large product.
"""

import math

import tensorflow as tf


def split(tensors, rows, pieces):
    """Batch-first tensors -> for each of `pieces` the list of its tensors, of `rows` rows in all.

    The batch is filled up to `rows` with copies of its last row, without a gradient: what is finite for that row is
    finite for its copies.
    """
    filled = [None if tensor is None else _filled(tensor, rows) for tensor in tensors]
    if pieces == 1:
        return [filled]
    each = -(-rows // pieces)  # of one row the second piece has none
    return [[None if t is None else t[i * each : (i + 1) * each] for t in filled] for i in range(pieces)]


def _filled(tensor, rows):
    batch = tensor.shape[0]
    if isinstance(rows, int) and rows == batch:
        return tensor
    missing = rows - (tf.shape(tensor)[0] if batch is None else batch)
    return tf.concat([tensor, tf.stop_gradient(tf.repeat(tensor[-1:], missing, axis=0))], 0)


def join(parts, batch):
    """Equal lists of batch-first tensors, one list per piece -> one list, cut to `batch` rows."""
    if len(parts) == 1:
        return [_cut(tensor, batch) for tensor in parts[0]]
    return [_cut(tf.concat(tensors, 0), batch) for tensors in zip(*parts, strict=True)]


def _cut(tensor, batch):
    return tensor if isinstance(batch, int) and batch == tensor.shape[0] else tensor[:batch]


def rounded_up(batch, pieces=1):
    """The next of 1, ..., 8, 10, 12, 14, 16, 20, 24, 28, 32, ... (four sizes per octave), times `pieces`; 1 stays 1."""
    alone, batch = batch, -(-batch // pieces)
    if isinstance(batch, int):
        step = 1 << max(0, (batch - 1).bit_length() - 3)
        return 1 if alone == 1 else -(-batch // step) * step * pieces
    logarithm = tf.math.log(tf.cast(tf.maximum(batch, 1), tf.float64)) / math.log(2)
    octave = tf.cast(tf.math.ceil(logarithm - 1e-9), tf.int32)
    step = tf.bitwise.left_shift(1, tf.maximum(0, octave - 3))
    return tf.where(alone == 1, 1, -(-batch // step) * step * pieces)
