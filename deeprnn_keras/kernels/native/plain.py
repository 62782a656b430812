"""A layer in plain TensorFlow operations, in the layouts of `sequences.py`, for second derivatives."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from deeprnn_keras._types import Tensor
from deeprnn_keras.kernels.native.sequences import Layer
from deeprnn_keras.kernels.xla.gru import GRURecurrence, GRUResetBeforeRecurrence
from deeprnn_keras.kernels.xla.layout import Span
from deeprnn_keras.kernels.xla.lstm import LSTMRecurrence
from deeprnn_keras.kernels.xla.recurrence import KerasRecurrence
from deeprnn_keras.kernels.xla.sequence import plain_sequence
from deeprnn_keras.kernels.xla.simple_rnn import SimpleRNNRecurrence


def plain_layer(layer: Layer, has_bias: bool, inputs: Sequence[Tensor], mask: Tensor | None) -> list[Tensor]:
    """Return [y], if the layer returns sequences, and the final states.

    Args:
        layer: The layer.
        has_bias: True if the inputs hold a bias.
        inputs: x, kernel, recurrent_kernel, [bias], *states.
        mask: (n, T), or None.
    """
    x, kernel, recurrent_kernel, *rest = inputs
    stored = {"kernel": kernel, "recurrent_kernel": recurrent_kernel}
    if has_bias:
        stored["bias"] = rest.pop(0)
    order = _order(mask, tf.shape(rest[0])[0])
    padding = None if layer.x_batch_major else tf.shape(x)[2] - tf.shape(rest[0])[0]
    states = [_columns(state, order, padding) for state in rest]
    columns = tf.transpose(tf.gather(x, order), (1, 2, 0)) if layer.x_batch_major else x
    column_mask = None if mask is None else _columns(mask, order, padding)[:, None]
    if layer.x_batch_major and column_mask is not None:
        columns = tf.where(column_mask, columns, tf.zeros_like(columns))
    if layer.reverse:
        columns, column_mask = tf.reverse(columns, [0]), None if column_mask is None else tf.reverse(column_mask, [0])
    recurrence = _recurrence(layer)
    weights = recurrence.weights(kernel.shape[0], stored)
    run = plain_sequence(recurrence, weights, Span(column_mask, None))
    outputs, *final = run(columns, *weights.trainable, *states)
    outputs = tf.reverse(outputs, [0]) if layer.reverse else outputs
    final = [_rows(state, order) for state in final]
    if not layer.return_sequences:
        return final
    return [_restored(layer, outputs, order), *final]


def _recurrence(layer: Layer) -> KerasRecurrence:
    if layer.cell == "rnn":
        return SimpleRNNRecurrence(layer.activation)
    recurrences = {"lstm": LSTMRecurrence, "gru": GRURecurrence, "gru_reset_before": GRUResetBeforeRecurrence}
    return recurrences[layer.cell](layer.activation, layer.recurrent_activation)


def _order(mask: Tensor | None, batch_size: Tensor) -> Tensor:
    """Return the rows in the order of the columns: those with most valid steps first."""
    if mask is None:
        return tf.range(batch_size)
    return tf.argsort(-tf.reduce_sum(tf.cast(mask, tf.int32), 1), stable=True)


def _columns(rows: Tensor, order: Tensor, padding: Tensor | None) -> Tensor:
    """Return (n, width) as (width, columns)."""
    columns = tf.transpose(tf.gather(rows, order))
    return columns if padding is None else tf.pad(columns, [[0, 0], [0, padding]])


def _rows(columns: Tensor, order: Tensor) -> Tensor:
    return tf.gather(tf.transpose(columns), tf.math.invert_permutation(order))


def _restored(layer: Layer, outputs: Tensor, order: Tensor) -> Tensor:
    """Return outputs (T, h, columns) in the layout of the layer's outputs."""
    if layer.y_batch_major:
        return tf.gather(tf.transpose(outputs, (2, 0, 1)), tf.math.invert_permutation(order))
    return outputs
