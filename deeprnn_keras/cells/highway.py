"""`RHNCell`: the recurrent highway network."""

from __future__ import annotations

import keras

from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations.highway import RecurrentHighway


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class RHNCell(RecurrentCell):
    """Cell of a recurrent highway network, with D highway layers between h_{t-1} and h_t.

    Highway layer k computes s^(k) from s^(k-1); the first input is s^(0) = h_{t-1}, and the last output is h_t = s^(D):

        layer 1:      z = x_t W + s^(0) V_1 + b_1
        layer k > 1:  z = s^(k-1) V_k + b_k
        g, t, c = a(z_g), s(z_t), s(z_c), or c = 1 - t if coupled
        s^(k) = g t + s^(k-1) c

    Let G = 2 if the gates are coupled, else 3. The weights are `kernel` W, (d, G h); `recurrent_kernel` V_1, (h, G h);
    `bias` b_1, (G h,); and, for k = 2, ..., D, `transition_kernel_k` V_k, (h, G h), and `transition_bias_k` b_k,
    (G h,). In total, these are G h [d + D (h + 1)] parameters.

    By default, W is initialized with "glorot_uniform", and the V_k with "orthogonal", each gate separately. The biases
    of the transform gates t are -2, so that each highway layer initially carries 0.88 of the state and gradients reach
    far back.

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
