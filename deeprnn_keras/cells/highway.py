"""`RHNCell`: the recurrent highway network."""

import keras

from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations.highway import RecurrentHighway


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class RHNCell(RecurrentCell):
    """A recurrent highway network's layer: D highway layers from h_{t-1} to h_t.

        g = a(s^(k-1) V_k + b_k [+ x_t W if k = 1]),  t = s(likewise),  c = s(likewise), or 1 - t if coupled
        s^(k) = g t + s^(k-1) c,  s^(0) = h_{t-1},  h_t = s^(D)

    Args:
        units: h.
        depth: D, the recurrence depth.
        coupled: c = 1 - t: what is not transformed is carried.
        transform_bias: where the biases of t start; an uncoupled carry gate starts at its opposite.
        activation, recurrent_activation: a and s.
        Others: see `RecurrentCell`.

    Weights (G = 2 coupled, else 3): kernel W (d, G h), recurrent_kernel V_1 (h, G h), bias b_1 (G h,), and for
    k = 2, ..., D transition_kernel_k (h, G h), transition_bias_k (G h,): G h [d + D (h + 1)].

    Initialization: W glorot_uniform, V_k orthogonal, gate by gate; transform gates start at -2, so that at first a
    step carries .88 of the state through each layer and gradients live for long.

    Source: Zilly et al. 2016 (arXiv:1607.03474).

    >>> import keras
    >>> from deeprnn_keras.cells import RHNCell
    >>> keras.layers.RNN(RHNCell(8, depth=5))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = RecurrentHighway
