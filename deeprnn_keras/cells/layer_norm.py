"""`LayerNormLSTMCell` and `LayerNormGRUCell`: layer normalization inside the step."""

from __future__ import annotations

import keras

from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations.layer_norm import LayerNormGRU, LayerNormLSTM


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class LayerNormLSTMCell(RecurrentCell):
    """LSTM whose pre-activations and cell state are normalized over the features.

        N(a) = (a - mean(a)) / sqrt(variance(a) + epsilon),
        z = k N(x_t W) + r N(h_{t-1} U) + b  (all gates normalized together),
        i, f, o = s(z),  g = a(z_g),  c_t = f c_{t-1} + i g,  h_t = o a(p N(c_t) + q)

    The weights are `kernel` W (d, 4 h), `recurrent_kernel` U (h, 4 h), `bias` b (4 h,), the gains `kernel_gain` k and
    `recurrent_gain` r (4 h,), `state_gain` p (h,), and `state_bias` q (h,): 4 (d + h + 3) h + 2 h parameters. Gains
    start at 1, biases at 0, except that of the forget gate, which starts at 1.

    Sources: Ba, Kiros & Hinton 2016 (arXiv:1607.06450), equations 20 to 22; with normalized_state=True
    `LayerNormLSTMCell` of tensorflow-addons, whose weights beta of the first two normalizations are part of b here.

    Args:
        units: h.
        epsilon: Added to the variance.
        normalized_state: Carry p N(c_t) + q to the next step instead of c_t.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> import keras
    >>> from deeprnn_keras.cells import LayerNormLSTMCell
    >>> keras.layers.RNN(LayerNormLSTMCell(8))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = LayerNormLSTM


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class LayerNormGRUCell(RecurrentCell):
    """GRU whose pre-activations are normalized over the features.

        N(a) = (a - mean(a)) / sqrt(variance(a) + epsilon),
        z, r = s(k N(x_t W) + b + v N(h_{t-1} U) + b')  (both gates normalized together),
        g = a(k_g N(x_t W_g) + b_g + r (v_g N(h_{t-1} U_g) + b'_g)),  h_t = z h_{t-1} + (1 - z) g

    The weights are `kernel` W (d, 3 h), `recurrent_kernel` U (h, 3 h), `bias` b and `recurrent_bias` b' (3 h,), and the
    gains `kernel_gain` k and `recurrent_gain` v (3 h,), with the blocks update, reset, and candidate: 3 (d + h + 4) h
    parameters. Gains start at 1, biases at 0.

    Source: Ba, Kiros & Hinton 2016 (arXiv:1607.06450), equations 27 to 29, with Keras' update gate, which keeps the
    state where it is 1.

    Args:
        units: h.
        epsilon: Added to the variance.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> import keras
    >>> from deeprnn_keras.cells import LayerNormGRUCell
    >>> keras.layers.RNN(LayerNormGRUCell(8))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = LayerNormGRU
