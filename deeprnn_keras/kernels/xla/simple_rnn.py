"""Plain RNN on XLA: one step of the forward pass and of the backward pass, written by hand."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf
from typing_extensions import override

from deeprnn_keras._types import Tensor
from deeprnn_keras.kernels.xla.activations import ACTIVATIONS
from deeprnn_keras.kernels.xla.recurrence import ForwardRecord, JointRecurrence, Packed, Tensors


@dataclass(frozen=True)
class SimpleRNNRecurrence(JointRecurrence):
    """Plain RNN (Elman 1990): h' = a(z), with z as in `JointRecurrence`.

    Attributes:
        activation: Name of a.
    """

    activation: str = "tanh"
    num_states = 1
    num_saved = 0
    num_blocks = 1

    @override
    def forward_step(self, packed: Packed, x: Tensor, states: Tensors) -> tuple[Tensors, Tensors]:
        """Return [h'] and []."""
        joint, _, bias = packed
        (h,) = states
        z = tf.matmul(joint, h) + x if bias is None else tf.matmul(joint, tf.concat([x, h], 0)) + bias
        return [ACTIVATIONS[self.activation].function(z)], []

    @override
    def backward_step(self, packed: Packed, record: ForwardRecord, d_states: Tensors) -> tuple[Tensors, Tensors]:
        """Return [dz] and [dh] of the state before."""
        dz = d_states[0] * ACTIVATIONS[self.activation].derivative(record.states_after[0])
        return [dz], [tf.matmul(packed[1], dz)]
