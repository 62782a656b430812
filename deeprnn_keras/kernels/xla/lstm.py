"""LSTM on XLA: one step of the forward pass and of the backward pass, written by hand."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf
from typing_extensions import override

from deeprnn_keras._types import Tensor
from deeprnn_keras.kernels.xla.activations import ACTIVATIONS
from deeprnn_keras.kernels.xla.recurrence import ForwardRecord, JointRecurrence, Packed, Tensors


@dataclass(frozen=True)
class LSTMRecurrence(JointRecurrence):
    """LSTM (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

        i, f, o = s(z),  g = a(z),  c' = f c + i g,  h' = o a(c'),  with z as in `JointRecurrence`

    Attributes:
        activation: Name of a.
        recurrent_activation: Name of s.
    """

    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    num_states = 2
    num_saved = 4
    num_blocks = 4

    @override
    def forward_step(self, packed: Packed, x: Tensor, states: Tensors) -> tuple[Tensors, Tensors]:
        """Return [h', c'] and [i, f, g, o]."""
        joint, _, bias = packed
        h, c = states
        z = tf.matmul(joint, h) + x if bias is None else tf.matmul(joint, tf.concat([x, h], 0)) + bias
        a, s = ACTIVATIONS[self.activation].function, ACTIVATIONS[self.recurrent_activation].function
        i, f, g, o = tf.split(z, 4)
        i, f, g, o = s(i), s(f), a(g), s(o)
        c = f * c + i * g
        return [o * a(c), c], [i, f, g, o]

    @override
    def backward_step(self, packed: Packed, record: ForwardRecord, d_states: Tensors) -> tuple[Tensors, Tensors]:
        """Return [dz] and [dh, dc] of the states before."""
        a, s = ACTIVATIONS[self.activation], ACTIVATIONS[self.recurrent_activation]
        i, f, g, o = record.saved
        dh, dc = d_states
        c_before, c_after = record.states_before[1], record.states_after[1]
        y = a.function(c_after)
        dc = dc + dh * o * a.derivative(y)
        di, df, dg, do = dc * g, dc * c_before, dc * i, dh * y
        dz = tf.concat([di * s.derivative(i), df * s.derivative(f), dg * a.derivative(g), do * s.derivative(o)], 0)
        return [dz], [tf.matmul(packed[1], dz), dc * f]
