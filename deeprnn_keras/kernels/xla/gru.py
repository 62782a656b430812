"""The GRU, with the reset gate after or before the recurrent product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from deeprnn_keras.kernels.xla.activations import ACTIVATIONS
from deeprnn_keras.kernels.xla.products import flat, product_over_time, unflat
from deeprnn_keras.kernels.xla.recurrence import KerasRecurrence, Tensor


@dataclass(frozen=True)
class GRU(KerasRecurrence):
    """z, r = s(a + q), g = a(a_g + r q_g), h' = z h + (1 - z) g, with a = W^T x + b, q = U^T h + b_q.

    This is Keras' `reset_after=True`, the form that cuDNN and PyTorch have too. `dz` holds the gradient with respect
    to [a_z, a_r, q_g, a_g]: that of q in its first three blocks, bias (2, 3 h). A step whose input is projected already
    gets no kernel, and x = a.
    """

    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    states = 1
    saved = 4
    blocks = 4
    bias_rows = 2

    def pack(self, kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor) -> Sequence[Tensor]:
        """Return the weights as a step needs them."""
        biases = bias[0][:, None], bias[1][:, None]
        return tf.transpose(kernel), tf.transpose(recurrent_kernel), *biases, recurrent_kernel

    def hoisted(self, packed: Sequence[Tensor], x: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Return (packed, W^T x + b)."""
        kernel, recurrent, bias, *others = packed
        return (None, recurrent, None, *others), unflat(tf.matmul(kernel, flat(x)) + bias, x)

    def forward(self, packed: Sequence[Tensor], x: Tensor, states: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return [h'] and [z, r, g, q_g]."""
        kernel, recurrent, bias, recurrent_bias, _ = packed
        (h,) = states
        a, s = ACTIVATIONS[self.activation].function, ACTIVATIONS[self.recurrent_activation].function
        az, ar, ag = tf.split(x if kernel is None else tf.matmul(kernel, x) + bias, 3)
        qz, qr, qg = tf.split(tf.matmul(recurrent, h) + recurrent_bias, 3)
        z, r = s(az + qz), s(ar + qr)
        g = a(ag + r * qg)
        return [g + z * (h - g)], [z, r, g, qg]

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
        a, s = ACTIVATIONS[self.activation], ACTIVATIONS[self.recurrent_activation]
        z, r, g, qg = saved
        (dh,), (h,) = gradient, before
        dag = dh * (1 - z) * a.slope(g)
        dq = tf.concat([dh * (h - g) * s.slope(z), dag * qg * s.slope(r), dag * r], 0)
        return [tf.concat([dq, dag], 0)], [tf.matmul(packed[-1], dq) + dh * z]

    def weight_gradients(
        self, x: Tensor, earlier: list[Tensor], written: list[Tensor], saved: list[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Return flat da, (dW, dU, db)."""
        dz, h_before = flat(written[0]), earlier[0]
        units = dz.shape[0] // 4
        da, dq = tf.concat([dz[: 2 * units], dz[3 * units :]], 0), dz[: 3 * units]
        db = tf.stack([tf.reduce_sum(da, 1), tf.reduce_sum(dq, 1)])
        return da, (product_over_time(flat(x), da), product_over_time(flat(h_before), dq), db)


@dataclass(frozen=True)
class GRUResetBefore(GRU):
    """g = a(a_g + U_g^T (r h)), Keras' `reset_after=False` (Cho et al. 2014); bias (3 h,), dz of [a_z, a_r, a_g]."""

    saved = 3
    blocks = 3
    bias_rows = None

    def pack(self, kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor) -> Sequence[Tensor]:
        """Return the weights as a step needs them."""
        units = recurrent_kernel.shape[0]
        gates, candidate = recurrent_kernel[:, : 2 * units], recurrent_kernel[:, 2 * units :]
        return tf.transpose(kernel), tf.transpose(gates), bias[:, None], tf.transpose(candidate), gates, candidate

    def forward(self, packed: Sequence[Tensor], x: Tensor, states: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return [h'] and [z, r, g]."""
        kernel, gates, bias, candidate, _, _ = packed
        (h,) = states
        a, s = ACTIVATIONS[self.activation].function, ACTIVATIONS[self.recurrent_activation].function
        az, ar, ag = tf.split(x if kernel is None else tf.matmul(kernel, x) + bias, 3)
        qz, qr = tf.split(tf.matmul(gates, h), 2)
        z, r = s(az + qz), s(ar + qr)
        g = a(ag + tf.matmul(candidate, r * h))
        return [g + z * (h - g)], [z, r, g]

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
        a, s = ACTIVATIONS[self.activation], ACTIVATIONS[self.recurrent_activation]
        *_, gates, candidate = packed
        z, r, g = saved
        (dh,), (h,) = gradient, before
        dag = dh * (1 - z) * a.slope(g)
        d_reset = tf.matmul(candidate, dag)  # with respect to r h
        d_gates = tf.concat([dh * (h - g) * s.slope(z), d_reset * h * s.slope(r)], 0)
        return [tf.concat([d_gates, dag], 0)], [tf.matmul(gates, d_gates) + d_reset * r + dh * z]

    def weight_gradients(
        self, x: Tensor, earlier: list[Tensor], written: list[Tensor], saved: list[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Return flat dz, (dW, dU, db)."""
        dz, h_before = flat(written[0]), earlier[0]
        units = dz.shape[0] // 3
        d_gates = product_over_time(flat(h_before), dz[: 2 * units])
        d_candidate = product_over_time(flat(saved[1] * h_before), dz[2 * units :])
        return dz, (product_over_time(flat(x), dz), tf.concat([d_gates, d_candidate], 1), tf.reduce_sum(dz, 1))
