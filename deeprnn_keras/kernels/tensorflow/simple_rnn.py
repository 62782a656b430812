"""The plain recurrence."""

from dataclasses import dataclass

import tensorflow as tf

from deeprnn_keras.kernels.tensorflow.activations import ACTIVATIONS
from deeprnn_keras.kernels.tensorflow.recurrence import JointRecurrence


@dataclass(frozen=True)
class SimpleRNN(JointRecurrence):
    """h' = f(z) (Elman 1990)."""

    activation: str = "tanh"
    states = 1
    saved = 0
    blocks = 1

    def forward(self, weights, x, states):
        """-> new states [h'], saved []."""
        return [ACTIVATIONS[self.activation].function(self.z(weights, x, states[0]))], []

    def backward(self, weights, x, saved, before, after, gradient):
        """-> [dz], gradient with respect to the state before."""
        dz = gradient[0] * ACTIVATIONS[self.activation].slope(after[0])
        return [dz], [tf.matmul(weights[1], dz)]
