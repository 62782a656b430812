"""GRU on XLA: one step of the forward pass and of the backward pass, written by hand, for both reset variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf
from typing_extensions import override

from deeprnn_keras._types import Tensor
from deeprnn_keras.kernels.xla.activations import ACTIVATIONS
from deeprnn_keras.kernels.xla.recurrence import ForwardRecord, KerasRecurrence, Packed, Tensors
from deeprnn_keras.kernels.xla.time_products import merge_time, split_time, sum_outer_products


@dataclass(frozen=True)
class GRURecurrence(KerasRecurrence):
    """GRU with the reset gate after the recurrent product (Keras' `reset_after=True`, cuDNN, PyTorch).

        z, r = s(p + q),  g = a(p_g + r q_g),  h' = z h + (1 - z) g,  with p = W^T x + b, q = U^T h + b_q

    The bias is (2, 3 h). `dz` holds the gradient with respect to [p_z, p_r, q_g, p_g]; its first three blocks are the
    gradient with respect to q. With a hoisted input projection, x is p, and the packed kernel and bias are None.

    Attributes:
        activation: Name of a.
        recurrent_activation: Name of s.
    """

    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    num_states = 1
    num_saved = 4
    num_blocks = 4
    bias_rows = 2

    @override
    def pack(self, *trainable: Tensor) -> Packed:
        """Return (W^T, U^T, b, b_q, U), the biases as columns."""
        kernel, recurrent_kernel, bias = trainable
        biases = bias[0][:, None], bias[1][:, None]
        return tf.transpose(kernel), tf.transpose(recurrent_kernel), *biases, recurrent_kernel

    @override
    def hoist_input_projection(self, packed: Packed, x: Tensor) -> tuple[Packed, Tensor]:
        """Return (packed, W^T x + b)."""
        kernel, recurrent, bias, *others = packed
        return (None, recurrent, None, *others), split_time(tf.matmul(kernel, merge_time(x)) + bias, x)

    @override
    def forward_step(self, packed: Packed, x: Tensor, states: Tensors) -> tuple[Tensors, Tensors]:
        """Return [h'] and [z, r, g, q_g]."""
        kernel, recurrent, bias, recurrent_bias, _ = packed
        (h,) = states
        a, s = ACTIVATIONS[self.activation].function, ACTIVATIONS[self.recurrent_activation].function
        pz, pr, pg = tf.split(x if kernel is None else tf.matmul(kernel, x) + bias, 3)
        qz, qr, qg = tf.split(tf.matmul(recurrent, h) + recurrent_bias, 3)
        z, r = s(pz + qz), s(pr + qr)
        g = a(pg + r * qg)
        return [g + z * (h - g)], [z, r, g, qg]

    @override
    def backward_step(self, packed: Packed, record: ForwardRecord, d_states: Tensors) -> tuple[Tensors, Tensors]:
        """Return [dz] and [dh] of the state before."""
        a, s = ACTIVATIONS[self.activation], ACTIVATIONS[self.recurrent_activation]
        z, r, g, qg = record.saved
        (dh,), (h,) = d_states, record.states_before
        dpg = dh * (1 - z) * a.derivative(g)
        dq = tf.concat([dh * (h - g) * s.derivative(z), dpg * qg * s.derivative(r), dpg * r], 0)
        return [tf.concat([dq, dpg], 0)], [tf.matmul(packed[-1], dq) + dh * z]

    @override
    def weight_gradients(self, record: ForwardRecord, stored: Tensors) -> tuple[Tensor, Sequence[Tensor]]:
        """Return dp (3 h, T n) and (dW, dU, db)."""
        dz, h_before = merge_time(stored[0]), record.states_before[0]
        units = dz.shape[0] // 4
        dp, dq = tf.concat([dz[: 2 * units], dz[3 * units :]], 0), dz[: 3 * units]
        d_kernel, d_recurrent = (
            sum_outer_products(merge_time(record.x), dp),
            sum_outer_products(merge_time(h_before), dq),
        )
        return dp, (d_kernel, d_recurrent, tf.stack([tf.reduce_sum(dp, 1), tf.reduce_sum(dq, 1)]))


@dataclass(frozen=True)
class GRUResetBeforeRecurrence(GRURecurrence):
    """GRU with the reset gate before the recurrent product (Keras' `reset_after=False`, Cho et al. 2014).

        g = a(p_g + U_g^T (r h)),  otherwise as `GRURecurrence`

    The bias is (3 h,). `dz` is the gradient with respect to [p_z, p_r, p_g].
    """

    num_saved = 3
    num_blocks = 3
    bias_rows = None

    @override
    def pack(self, *trainable: Tensor) -> Packed:
        """Return (W^T, U^T of the gates, b as a column, U^T of the candidate, U of the gates, U of the candidate)."""
        kernel, recurrent_kernel, bias = trainable
        units = recurrent_kernel.shape[0]
        gates, candidate = recurrent_kernel[:, : 2 * units], recurrent_kernel[:, 2 * units :]
        return tf.transpose(kernel), tf.transpose(gates), bias[:, None], tf.transpose(candidate), gates, candidate

    @override
    def forward_step(self, packed: Packed, x: Tensor, states: Tensors) -> tuple[Tensors, Tensors]:
        """Return [h'] and [z, r, g]."""
        kernel, gates, bias, candidate, _, _ = packed
        (h,) = states
        a, s = ACTIVATIONS[self.activation].function, ACTIVATIONS[self.recurrent_activation].function
        pz, pr, pg = tf.split(x if kernel is None else tf.matmul(kernel, x) + bias, 3)
        qz, qr = tf.split(tf.matmul(gates, h), 2)
        z, r = s(pz + qz), s(pr + qr)
        g = a(pg + tf.matmul(candidate, r * h))
        return [g + z * (h - g)], [z, r, g]

    @override
    def backward_step(self, packed: Packed, record: ForwardRecord, d_states: Tensors) -> tuple[Tensors, Tensors]:
        """Return [dz] and [dh] of the state before."""
        a, s = ACTIVATIONS[self.activation], ACTIVATIONS[self.recurrent_activation]
        *_, gates, candidate = packed
        z, r, g = record.saved
        (dh,), (h,) = d_states, record.states_before
        dpg = dh * (1 - z) * a.derivative(g)
        d_reset_state = tf.matmul(candidate, dpg)  # with respect to r h
        d_gates = tf.concat([dh * (h - g) * s.derivative(z), d_reset_state * h * s.derivative(r)], 0)
        return [tf.concat([d_gates, dpg], 0)], [tf.matmul(gates, d_gates) + d_reset_state * r + dh * z]

    @override
    def weight_gradients(self, record: ForwardRecord, stored: Tensors) -> tuple[Tensor, Sequence[Tensor]]:
        """Return dz (3 h, T n) and (dW, dU, db)."""
        dz, h_before = merge_time(stored[0]), record.states_before[0]
        r, units = record.saved[1], dz.shape[0] // 3
        d_gates = sum_outer_products(merge_time(h_before), dz[: 2 * units])
        d_candidate = sum_outer_products(merge_time(r * h_before), dz[2 * units :])
        d_kernel = sum_outer_products(merge_time(record.x), dz)
        return dz, (d_kernel, tf.concat([d_gates, d_candidate], 1), tf.reduce_sum(dz, 1))
