"""Cells whose gates have hidden layers: `MLPGateRNNCell`, `MLPGateGRUCell`, and `MLPGateLSTMCell`."""

from __future__ import annotations

import keras

from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations.mlp_gates import MLPGateGRU, MLPGateLSTM, MLPGateRNN


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class MLPGateRNNCell(RecurrentCell):
    """RNN cell whose transition is a multilayer perceptron, which adds depth inside the step.

        a_1 = x_t W + h_{t-1} U + b,  a_{j+1} = f_g(a_j) V_j + b_j,  h_t = f(a_{m+1})

    For d inputs, the weights are `kernel` W, (d, k_1); `recurrent_kernel` U, (h, k_1); `bias` b, (k_1,); and, for
    j = 1, ..., m, `gate_kernel_j` V_j, (k_j, k_{j+1}), and `gate_bias_j` b_j, (k_{j+1},), where k_{m+1} = h. In total,
    these are (d + h + 1) k_1 + (k_1 + 1) k_2 + ... + (k_m + 1) h parameters.

    By default, W is initialized with "glorot_uniform", which preserves the variance of x; U with "orthogonal", which
    preserves the norm of the state up to the first nonlinearity; and V_j with "glorot_uniform", which was derived for
    layers with tanh. The biases are 0.

    Sources: Zhang et al., Dive into Deep Learning, 10.3, exercise on other ways to be deep; Pascanu et al. 2013
    (arXiv:1312.6026).

    Args:
        units: h.
        gate_units: Widths of the hidden layers, (k_1, ..., k_m); None for (h,). The cell with () equals
            `keras.layers.SimpleRNNCell`.
        activation: f.
        gate_activation: f_g, the activation of the hidden layers.
        **options: See `RecurrentCell`.

    >>> import keras
    >>> from deeprnn_keras.cells import MLPGateRNNCell
    >>> keras.layers.RNN(MLPGateRNNCell(8, gate_units=(16, 16)))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = MLPGateRNN


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class MLPGateGRUCell(RecurrentCell):
    """GRU cell whose gates and candidate are multilayer perceptrons of (x_t, h_{t-1}).

        z, r = s(MLP(x_t, h_{t-1})),  g = f(MLP(x_t, r h_{t-1})),  h_t = z h_{t-1} + (1 - z) g

    The reset gate multiplies the state before the recurrent product, as in Cho et al. 2014. The form with the reset
    gate after the product (`reset_after=True`) is not defined for a candidate that is a perceptron. With
    `gate_units=()`, the cell equals `keras.layers.GRUCell(reset_after=False)`.

    The weights are those of `MLPGateRNNCell`, with 3 blocks of columns: update, reset, and candidate. For d inputs,
    these are 3 [(d + h + 1) k_1 + (k_1 + 1) k_2 + ... + (k_m + 1) h] parameters. The matrices of each gate are
    initialized separately, as in `MLPGateRNNCell`, and the biases are 0.

    Args:
        units: h.
        gate_units: Widths of the hidden layers of each gate, (k_1, ..., k_m); None for (h,).
        activation: f.
        recurrent_activation: s.
        gate_activation: Activation of the hidden layers.
        **options: See `RecurrentCell`.

    >>> import keras
    >>> from deeprnn_keras.cells import MLPGateGRUCell
    >>> keras.layers.RNN(MLPGateGRUCell(8, gate_units=(4,)))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = MLPGateGRU


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class MLPGateLSTMCell(RecurrentCell):
    """LSTM cell whose gates and candidate are multilayer perceptrons of (x_t, h_{t-1}).

        i, f, o = s(MLP(x_t, h_{t-1})),  g = a(MLP(x_t, h_{t-1})),  c_t = f c_{t-1} + i g,  h_t = o a(c_t)

    With `gate_units=()`, the cell equals `keras.layers.LSTMCell`.

    The weights are those of `MLPGateRNNCell`, with 4 blocks of columns: input, forget, candidate, and output. For d
    inputs, these are 4 [(d + h + 1) k_1 + (k_1 + 1) k_2 + ... + (k_m + 1) h] parameters. The matrices of each gate are
    initialized separately, as in `MLPGateRNNCell`. The bias of the last layer of the forget gate is 1, so that the cell
    initially keeps most of its state; all other biases are 0.

    Sources: those of `MLPGateRNNCell`; the gates are those of Hochreiter & Schmidhuber 1997.

    Args:
        units: h.
        gate_units: Widths of the hidden layers of each gate, (k_1, ..., k_m); None for (h,).
        activation: a.
        recurrent_activation: s.
        gate_activation: Activation of the hidden layers.
        **options: See `RecurrentCell`.

    >>> import keras
    >>> from deeprnn_keras.cells import MLPGateLSTMCell
    >>> keras.layers.RNN(MLPGateLSTMCell(8, gate_units=(4,), gate_activation="relu"))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = MLPGateLSTM
