"""`RHNCell`: the recurrent highway network."""

from __future__ import annotations

import keras

from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations.highway import RecurrentHighway


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class RHNCell(RecurrentCell):
    """Cell of a recurrent highway network, with D highway layers from h_{t-1} to h_t.

        g = a(s^(k-1) V_k + b_k [+ x_t W if k = 1])
        t, c = the same with separate weights and the activation s; if coupled, c = 1 - t
        s^(k) = g t + s^(k-1) c,  s^(0) = h_{t-1},  h_t = s^(D)

    Weights (G = 2 if coupled, else 3): kernel W (d, G h), recurrent_kernel V_1 (h, G h), bias b_1 (G h,); for
    k = 2, ..., D transition_kernel_k V_k (h, G h) and transition_bias_k (G h,). Their number is G h [d + D (h + 1)].

    Initialization: W glorot_uniform, V_k orthogonal, each gate separately. The biases of the transform gates start at
    -2, so that each highway layer initially carries 0.88 of the state and gradients reach far back.

    Source: Zilly et al. 2016 (arXiv:1607.03474).

    Args:
        units: h.
        depth: D, the recurrence depth.
        coupled: Define the carry gate as c = 1 - t.
        transform_bias: Initial bias of the transform gate; an uncoupled carry gate starts at its negative.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> import keras
    >>> from deeprnn_keras.cells import RHNCell
    >>> keras.layers.RNN(RHNCell(8, depth=5))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = RecurrentHighway
