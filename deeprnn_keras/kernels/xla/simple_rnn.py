"""The plain recurrence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from deeprnn_keras.kernels.xla.activations import ACTIVATIONS
from deeprnn_keras.kernels.xla.recurrence import JointRecurrence, Tensor


@dataclass(frozen=True)
class SimpleRNN(JointRecurrence):
    """h' = f(z) (Elman 1990)."""

    activation: str = "tanh"
    states = 1
    saved = 0
    blocks = 1

    def forward(self, packed: Sequence[Tensor], x: Tensor, states: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return [h'] and []."""
        joint, _, bias = packed
        (h,) = states
        z = tf.matmul(joint, h) + x if bias is None else tf.matmul(joint, tf.concat([x, h], 0)) + bias
        return [ACTIVATIONS[self.activation].function(z)], []

    def backward(
        self,
        packed: Sequence[Tensor],
        x: Tensor,
        saved: list[Tensor],
        before: list[Tensor],
        after: list[Tensor],
        gradient: list[Tensor],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return [dz] and the gradient by [h]."""
        dz = gradient[0] * ACTIVATIONS[self.activation].slope(after[0])
        return [dz], [tf.matmul(packed[1], dz)]
