"""Cells whose gates have hidden layers: `MLPGateRNNCell`, `MLPGateGRUCell`, `MLPGateLSTMCell`."""

import keras

from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations.mlp_gates import MLPGateGRU, MLPGateLSTM, MLPGateRNN


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class MLPGateRNNCell(RecurrentCell):
    """An RNN whose transition is a perceptron: depth inside the step.

        a_1 = x_t W + h_{t-1} U + b,  a_{j+1} = f_g(a_j) V_j + b_j,  h_t = f(a_{m+1})

    Args:
        units: h.
        gate_units: (k_1, ..., k_m), widths of the hidden layers; None: (h,); () is `keras.layers.SimpleRNNCell`.
        activation, gate_activation: f and f_g.
        Others: see `RecurrentCell`.

    Weights, with d inputs: kernel W (d, k_1), recurrent_kernel U (h, k_1), bias b (k_1,), gate_kernel_j V_j
    (k_j, k_{j+1}), gate_bias_j (k_{j+1},), where k_{m+1} = h: (d + h + 1) k_1 + (k_1 + 1) k_2 + ... + (k_m + 1) h.

    Initialization: W glorot_uniform, so that x enters with the variance it has; U orthogonal, so that no direction of
    the state is lost before the first non-linearity; V_j glorot_uniform, made for tanh between layers; biases 0.

    Source: Zhang et al., Dive into Deep Learning, 10.3, exercise on other ways to be deep; Pascanu et al. 2013
    (arXiv:1312.6026).

    >>> import keras
    >>> from deeprnn_keras.cells import MLPGateRNNCell
    >>> keras.layers.RNN(MLPGateRNNCell(8, gate_units=(16, 16)))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = MLPGateRNN


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class MLPGateGRUCell(RecurrentCell):
    """A GRU whose gates and candidate are perceptrons of (x_t, h_{t-1}).

        z, r = s(MLP(x_t, h_{t-1})),  g = f(MLP(x_t, r h_{t-1})),  h_t = z h_{t-1} + (1 - z) g

    The reset gate acts on the state before the product, as in Cho et al. 2014: behind it there is a perceptron, not a
    product. With `gate_units=()` it is `keras.layers.GRUCell(reset_after=False)`.

    Args:
        units: h.
        gate_units: (k_1, ..., k_m), widths of each gate's hidden layers; None: (h,).
        activation, recurrent_activation, gate_activation: f, s, and that of the hidden layers.
        Others: see `RecurrentCell`.

    Weights, with d inputs: those of `MLPGateRNNCell` with G = 3 blocks of columns, update, reset, candidate:
    3 [(d + h + 1) k_1 + (k_1 + 1) k_2 + ... + (k_m + 1) h].

    Initialization: as `MLPGateRNNCell`, each gate's matrices drawn on their own; biases 0.

    >>> import keras
    >>> from deeprnn_keras.cells import MLPGateGRUCell
    >>> keras.layers.RNN(MLPGateGRUCell(8, gate_units=(4,)))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = MLPGateGRU


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class MLPGateLSTMCell(RecurrentCell):
    """An LSTM whose gates and candidate are perceptrons of (x_t, h_{t-1}); the mechanism around them is unchanged.

        i, f, o = s(MLP(x_t, h_{t-1})),  g = a(MLP(x_t, h_{t-1})),  c_t = f c_{t-1} + i g,  h_t = o a(c_t)

    With `gate_units=()` it is `keras.layers.LSTMCell`.

    Args:
        units: h.
        gate_units: (k_1, ..., k_m), widths of each gate's hidden layers; None: (h,).
        activation, recurrent_activation, gate_activation: a, s, and that of the hidden layers.
        Others: see `RecurrentCell`.

    Weights, with d inputs: those of `MLPGateRNNCell` with G = 4 blocks of columns, input, forget, candidate, output:
    4 [(d + h + 1) k_1 + (k_1 + 1) k_2 + ... + (k_m + 1) h].

    Initialization: as `MLPGateRNNCell`, each gate's matrices drawn on their own; the last bias of the forget gate
    starts at 1, so that the cell begins by remembering, all others at 0.

    >>> import keras
    >>> from deeprnn_keras.cells import MLPGateLSTMCell
    >>> keras.layers.RNN(MLPGateLSTMCell(8, gate_units=(4,), gate_activation="relu"))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = MLPGateLSTM
