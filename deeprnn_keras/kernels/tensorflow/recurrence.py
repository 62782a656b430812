"""What a recurrence tells the fused kernel, and what those share that are written by hand."""

import tensorflow as tf

from deeprnn_keras.kernels.tensorflow.products import flat, product_over_time, unflat


class Recurrence:
    """The contract: one step forward and its gradient, derived by hand, feature-major: x (d, n), h (h, n).

    The gates are blocks of rows. Weights come in Keras' layout: kernel W (d, G h), recurrent kernel U (h, G h), bias.
    `dz` (T, G h, n) is the loss's gradient with respect to z.

    Attributes:
        states: how many tensors a step carries, the output first.
        saved: how many tensors (h, n) a step keeps for the way back, beside its states.
        blocks: rows of dz, in units of h.
    """

    def read(self, x, weights):
        """(T, d, n), `Weights` -> what a step gets of x, differentiable: here x itself."""
        return x

    def saved_rows(self, units):
        """Rows of each tensor that a step keeps."""
        return [units] * self.saved

    def written_rows(self, units):
        """Rows of each tensor that a step of the way back writes down."""
        return [self.blocks * units]

    def input_gradient(self, packed, dz, x):
        """What `weight_gradients` left of dz (G h, T n) -> dx (T, d, n).

        From the packed weights, which are copies: nothing waits for dx but the layer below, so that an optimizer may
        write the variables in the meantime.
        """
        return unflat(tf.matmul(packed[0][:, : x.shape[1]], dz, transpose_a=True), x)


class JointRecurrence(Recurrence):
    """One product per step, z = [W | U]^T [x; h] + b; the base of LSTM and plain RNN."""

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

    def weight_gradients(self, x, earlier, written, saved):
        """-> dz flat, (dW, dU, db); earlier: the states before each step, written: [dz]."""
        dz, h_before = flat(written[0]), earlier[0]
        gradients = product_over_time(flat(x), dz), product_over_time(flat(h_before), dz), tf.reduce_sum(dz, 1)
        return dz, gradients
