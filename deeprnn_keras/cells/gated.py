"""Cells with other gates than those of the GRU and the LSTM."""

from __future__ import annotations

import keras

from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations.coupled import CoupledLSTM
from deeprnn_keras.equations.fast_gated import FastGRNN
from deeprnn_keras.equations.minimal_gated import MinimalGatedUnit
from deeprnn_keras.equations.multiplicative import MultiplicativeLSTM
from deeprnn_keras.equations.peephole import PeepholeLSTM
from deeprnn_keras.equations.projected import ProjectedLSTM
from deeprnn_keras.equations.update_gate import UpdateGateRNN


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class MGUCell(RecurrentCell):
    """Minimal gated unit: a GRU whose single gate both resets and replaces the state.

        f = s(x_t W_f + h_{t-1} U_f + b_f),  g = a(x_t W_g + (f h_{t-1}) U_g + b_g),  h_t = (1 - f) h_{t-1} + f g

    The weights are `kernel` (d, 2 h), `recurrent_kernel` (h, 2 h), and `bias` (2 h,), with the blocks forget and
    candidate: 2 (d + h + 1) h parameters, two thirds of those of a GRU.

    Source: Zhou et al. 2016 (arXiv:1603.09420).

    Args:
        units: h.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> import keras
    >>> from deeprnn_keras.cells import MGUCell
    >>> keras.layers.RNN(MGUCell(8))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = MinimalGatedUnit


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class UGRNNCell(RecurrentCell):
    """Update-gate RNN: a GRU without a reset gate, so that a step has a single matrix product.

        z = s(x_t W_z + h_{t-1} U_z + b_z),  g = a(x_t W_g + h_{t-1} U_g + b_g),  h_t = z h_{t-1} + (1 - z) g

    The weights are `kernel` (d, 2 h), `recurrent_kernel` (h, 2 h), and `bias` (2 h,), with the blocks update and
    candidate: 2 (d + h + 1) h parameters. The bias of the update gate starts at 1.

    Source: Collins, Sohl-Dickstein & Sussillo 2016 (arXiv:1611.09913).

    Args:
        units: h.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> import keras
    >>> from deeprnn_keras.cells import UGRNNCell
    >>> keras.layers.RNN(UGRNNCell(8))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = UpdateGateRNN


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class CoupledLSTMCell(RecurrentCell):
    """LSTM whose input gate is one minus its forget gate (CIFG).

        f, o = s(x_t W + h_{t-1} U + b),  g = a(x_t W_g + h_{t-1} U_g + b_g),  c_t = f c_{t-1} + (1 - f) g,
        h_t = o a(c_t)

    The cell state is a running average of candidates and stays in the range of a. The weights are `kernel` (d, 3 h),
    `recurrent_kernel` (h, 3 h), and `bias` (3 h,), with the blocks forget, candidate, and output: 3 (d + h + 1) h
    parameters, three quarters of those of an LSTM. The bias of the forget gate starts at 1.

    Source: Greff et al. 2015 (arXiv:1503.04069), variant CIFG, without peepholes.

    Args:
        units: h.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> import keras
    >>> from deeprnn_keras.cells import CoupledLSTMCell
    >>> keras.layers.RNN(CoupledLSTMCell(8))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = CoupledLSTM


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class PeepholeLSTMCell(RecurrentCell):
    """LSTM whose gates also see the cell state, through one weight per unit and gate.

        i, f = s(x_t W + h_{t-1} U + p c_{t-1} + b),  g = a(x_t W_g + h_{t-1} U_g + b_g),  c_t = f c_{t-1} + i g,
        o = s(x_t W_o + h_{t-1} U_o + p_o c_t + b_o),  h_t = o a(c_t)

    The weights are those of `keras.layers.LSTMCell`, with the blocks input, forget, candidate, and output, and
    `peephole_kernel` (3 h,), with the blocks input, forget, and output: 4 (d + h + 1) h + 3 h parameters. The peepholes
    start at 0, so that the cell starts as an LSTM; the bias of the forget gate starts at 1.

    Sources: Gers & Schmidhuber 2000, Recurrent nets that time and count; Graves 2013 (arXiv:1308.0850), equations 7 to
    11.

    Args:
        units: h.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> import keras
    >>> from deeprnn_keras.cells import PeepholeLSTMCell
    >>> keras.layers.RNN(PeepholeLSTMCell(8))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = PeepholeLSTM


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class ProjectedLSTMCell(RecurrentCell):
    """LSTM whose output, which its gates and the next layer read, is a projection of fewer features (LSTMP).

        i, f, o = s(x_t W + h_{t-1} U + b),  g = a(x_t W_g + h_{t-1} U_g + b_g),  c_t = f c_{t-1} + i g,
        h_t = (o a(c_t)) P

    The state c_t has h features, the output h_t has p = `projection`. The weights are `kernel` (d, 4 h),
    `recurrent_kernel` (p, 4 h), `bias` (4 h,), with the blocks input, forget, candidate, and output, and
    `projection_kernel` P (h, p): 4 (d + p + 1) h + h p parameters. The bias of the forget gate starts at 1.

    Source: Sak et al. 2014 (arXiv:1402.1128), without the second, non-recurrent projection and peepholes, as in
    `torch.nn.LSTM(proj_size=p)`.

    Args:
        units: h.
        use_bias: Add the bias.
        projection: p, at most h; h / 2 by default.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    Raises:
        ValueError: If `projection` is not a positive integer, or is above `units`.

    >>> import keras
    >>> from deeprnn_keras.cells import ProjectedLSTMCell
    >>> keras.layers.RNN(ProjectedLSTMCell(8, projection=3))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 3])
    """

    equations_class = ProjectedLSTM


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class MultiplicativeLSTMCell(RecurrentCell):
    """LSTM that multiplies h_{t-1} by a function of x_t first, so that each input has its own recurrent weights.

        m = (x_t V) (h_{t-1} R)  (elementwise),
        i, f, o = s(x_t W + m U + b),  g = a(x_t W_g + m U_g + b_g),  c_t = f c_{t-1} + i g,  h_t = o a(c_t)

    The weights are those of `keras.layers.LSTMCell`, `multiplier_kernel` V (d, h), and `multiplier_recurrent_kernel` R
    (h, h): 4 (d + h + 1) h + (d + h) h parameters. The bias of the forget gate starts at 1.

    Sources: Krause et al. 2016 (arXiv:1609.07959); Radford et al. 2017 (arXiv:1704.01444), for the form of h_t.

    Args:
        units: h.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> import keras
    >>> from deeprnn_keras.cells import MultiplicativeLSTMCell
    >>> keras.layers.RNN(MultiplicativeLSTMCell(8))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = MultiplicativeLSTM


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class FastGRNNCell(RecurrentCell):
    """Fast gated recurrent network, for microcontrollers: gate and candidate share one matrix of x and one of h.

        v = x_t W + h_{t-1} U + b,  z = s(v + b_z),  g = a(v),
        h_t = (sigmoid(1 + k_1) (1 - z) + sigmoid(k_2 - 4)) g + z h_{t-1}

    The weights are `kernel` W (d, h), `recurrent_kernel` U (h, h), `bias` b (h,), `gate_bias` b_z (1, h), and `scalars`
    (k_1, k_2): (d + h + 2) h + 2 parameters, about a third of those of a GRU.

    Source: Kusupati et al. 2018 (arXiv:1901.02358), with full matrices. The gate of the paper has the bias b + b_z, and
    its scalars are 1 + k_1 and k_2 - 4.

    Args:
        units: h.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> import keras
    >>> from deeprnn_keras.cells import FastGRNNCell
    >>> keras.layers.RNN(FastGRNNCell(8))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    equations_class = FastGRNN
