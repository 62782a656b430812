"""From a Keras layer to its recurrence and weights."""

import tensorflow as tf

from deeprnn_keras import _compat
from deeprnn_keras.kernels.rules import traits
from deeprnn_keras.kernels.tensorflow.derived import Derived
from deeprnn_keras.kernels.tensorflow.fused import packed
from deeprnn_keras.kernels.tensorflow.gru import GRU, GRUResetBefore
from deeprnn_keras.kernels.tensorflow.lstm import LSTM
from deeprnn_keras.kernels.tensorflow.simple_rnn import SimpleRNN


def recurrence(layer):
    """The recurrence of a layer that the fused kernel covers; equal layers give equal recurrences."""
    found = traits(layer)
    if found.written:
        return Derived(layer.cell.equations, tuple(layer.cell.functions.items()))
    if found.cell == "rnn":
        return SimpleRNN(found.activation)
    if found.cell == "lstm":
        return LSTM(found.activation, found.recurrent_activation)
    return (GRU if found.reset_after else GRUResetBefore)(found.activation, found.recurrent_activation)


def weights(layer, dtype):
    """The layer's `Weights`, as they are stored: a policy with half precision does not round them."""
    cell = layer.cell
    if hasattr(cell, "equations"):
        with _compat.no_autocast():
            given = {weight.name: tf.cast(weight.value, dtype) for weight in cell.weights}
        return recurrence(layer).weights(cell.inputs, given)
    with _compat.no_autocast():
        given = [tf.cast(cell.kernel.value, dtype), tf.cast(cell.recurrent_kernel.value, dtype)]
        given.append(tf.cast(cell.bias.value, dtype) if cell.use_bias else _no_bias(cell, dtype))
    return packed(recurrence(layer), given)


def geometry(layer):
    """(recurrence, d, h): what the plan needs to know."""
    cell = layer.cell
    inputs = cell.inputs if hasattr(cell, "equations") else cell.kernel.shape[0]
    return recurrence(layer), inputs, cell.units


def _no_bias(cell, dtype):
    gates = cell.kernel.shape[1]
    return tf.zeros((2, gates) if getattr(cell, "reset_after", False) else (gates,), dtype)


def inner_dtype(compute_dtype):
    """What the kernel computes in: a CPU is many times slower in half precision than in float32."""
    return "float64" if compute_dtype == "float64" else "float32"
