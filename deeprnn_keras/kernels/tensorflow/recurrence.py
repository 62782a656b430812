"""What a recurrence tells the fused kernel, and what those share whose gates all see the same x and h."""

import tensorflow as tf

from deeprnn_keras.kernels.tensorflow.products import flat, product_over_time, unflat


class JointRecurrence:
    """One product per step, z = [W | U]^T [x; h] + b; the base of LSTM and plain RNN, and the contract of all.

    A recurrence is one step forward and its gradient, derived by hand, feature-major: x (d, n), h (h, n), the gates
    as blocks of rows. Weights come in Keras' layout: kernel W (d, G h), recurrent kernel U (h, G h), bias.
    `dz` (T, G h, n) is the loss's gradient with respect to z.

    Attributes:
        states: how many tensors a step carries, the output first.
        saved: how many tensors (h, n) a step keeps for the way back, beside its states.
        blocks: rows of dz, in units of h.
    """

    def pack(self, kernel, recurrent_kernel, bias):
        """The weights as a step wants them: transposed once, for products with a transposed matrix are slow."""
        return tf.transpose(tf.concat([kernel, recurrent_kernel], 0)), recurrent_kernel, bias[:, None]

    def projected(self, packed, x):
        """-> (packed, x) with the input's part of the products, W^T x + b, taken over all steps at once."""
        joint, recurrent_kernel, bias = packed
        inputs = x.shape[1]
        return (joint[:, inputs:], recurrent_kernel, None), unflat(tf.matmul(joint[:, :inputs], flat(x)) + bias, x)

    def z(self, weights, x, h):
        """What enters the activations, (G h, n); x is already projected where there is no bias."""
        joint, _, bias = weights
        return tf.matmul(joint, h) + x if bias is None else tf.matmul(joint, tf.concat([x, h], 0)) + bias

    def weight_gradients(self, x, h_before, dz, saved):
        """-> dz flat, (dW, dU, db)."""
        dz = flat(dz)
        gradients = product_over_time(flat(x), dz), product_over_time(flat(h_before), dz), tf.reduce_sum(dz, 1)
        return dz, gradients

    def input_gradient(self, kernel, dz):
        """Flat dz (G h, T n) -> flat dx (d, T n)."""
        return tf.matmul(kernel, dz)
