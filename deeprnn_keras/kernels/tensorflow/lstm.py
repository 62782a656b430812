"""The LSTM."""

from dataclasses import dataclass

import tensorflow as tf

from deeprnn_keras.kernels.tensorflow.activations import ACTIVATIONS
from deeprnn_keras.kernels.tensorflow.recurrence import JointRecurrence


@dataclass(frozen=True)
class LSTM(JointRecurrence):
    """i, f, o = s(z), g = a(z), c' = f c + i g, h' = o a(c') (Hochreiter & Schmidhuber 1997; Gers et al. 2000)."""

    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    states = 2
    saved = 4
    blocks = 4

    def forward(self, weights, x, states):
        """-> new states [h', c'], saved [i, f, g, o]."""
        h, c = states
        a, s = ACTIVATIONS[self.activation].function, ACTIVATIONS[self.recurrent_activation].function
        i, f, g, o = tf.split(self.z(weights, x, h), 4)
        i, f, g, o = s(i), s(f), a(g), s(o)
        c = f * c + i * g
        return [o * a(c), c], [i, f, g, o]

    def backward(self, weights, x, saved, before, after, gradient):
        """-> [dz], gradient with respect to the states before."""
        a, s = ACTIVATIONS[self.activation], ACTIVATIONS[self.recurrent_activation]
        i, f, g, o = saved
        dh, dc = gradient
        y = a.function(after[1])
        dc = dc + dh * o * a.slope(y)
        dz = [dc * g * s.slope(i), dc * before[1] * s.slope(f), dc * i * a.slope(g), dh * y * s.slope(o)]
        dz = tf.concat(dz, 0)
        return [dz], [tf.matmul(weights[1], dz), dc * f]
