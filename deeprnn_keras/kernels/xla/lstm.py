"""The LSTM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from deeprnn_keras.kernels.xla.activations import ACTIVATIONS
from deeprnn_keras.kernels.xla.recurrence import JointRecurrence, Tensor


@dataclass(frozen=True)
class LSTM(JointRecurrence):
    """i, f, o = s(z), g = a(z), c' = f c + i g, h' = o a(c') (Hochreiter & Schmidhuber 1997; Gers et al. 2000)."""

    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    states = 2
    saved = 4
    blocks = 4

    def forward(self, packed: Sequence[Tensor], x: Tensor, states: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return [h', c'] and [i, f, g, o]."""
        joint, _, bias = packed
        h, c = states
        z = tf.matmul(joint, h) + x if bias is None else tf.matmul(joint, tf.concat([x, h], 0)) + bias
        a, s = ACTIVATIONS[self.activation].function, ACTIVATIONS[self.recurrent_activation].function
        i, f, g, o = tf.split(z, 4)
        i, f, g, o = s(i), s(f), a(g), s(o)
        c = f * c + i * g
        return [o * a(c), c], [i, f, g, o]

    def backward(
        self,
        packed: Sequence[Tensor],
        x: Tensor,
        saved: list[Tensor],
        before: list[Tensor],
        after: list[Tensor],
        gradient: list[Tensor],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return [dz] and the gradient by [h, c]."""
        a, s = ACTIVATIONS[self.activation], ACTIVATIONS[self.recurrent_activation]
        i, f, g, o = saved
        dh, dc = gradient
        y = a.function(after[1])
        dc = dc + dh * o * a.slope(y)
        dz = [dc * g * s.slope(i), dc * before[1] * s.slope(f), dc * i * a.slope(g), dh * y * s.slope(o)]
        dz = tf.concat(dz, 0)
        return [dz], [tf.matmul(packed[1], dz), dc * f]
