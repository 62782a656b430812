"""Cells whose matrix products are of the inputs only, so that they are computed for all steps at once."""

from __future__ import annotations

from typing import Any

import keras

from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations.gated_linear import GatedLinearUnit
from deeprnn_keras.equations.minimal_parallel import MinimalGRU, MinimalLSTM
from deeprnn_keras.equations.quasi_recurrent import QuasiRecurrent
from deeprnn_keras.equations.simple_recurrent_unit import SimpleRecurrentUnit


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class MinGRUCell(RecurrentCell):
    """Minimal GRU, whose gate and candidate depend on the input only.

        z = s(x_t W_z + b_z),  g = a(x_t W_g + b_g),  h_t = z h_{t-1} + (1 - z) g

    The weights are `kernel` (d, 2 h) and `bias` (2 h,), with the blocks update and candidate: 2 (d + 1) h parameters.
    The bias of the update gate starts at 1.

    Source: Feng et al. 2024 (arXiv:2410.01201), with Keras' update gate, which keeps the state where it is 1.

    Args:
        units: h.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> from deeprnn_keras import DeepRNN
    >>> DeepRNN(8, num_layers=2, cell="min_gru").num_layers
    2
    """

    equations_class = MinimalGRU


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class MinLSTMCell(RecurrentCell):
    """Minimal LSTM, whose gates depend on the input only and are normalized to a sum of 1.

        i, f = s(x_t W + b),  g = a(x_t W_g + b_g),  h_t = (f h_{t-1} + i g) / (f + i)

    The weights are `kernel` (d, 3 h) and `bias` (3 h,), with the blocks input, forget, and candidate: 3 (d + 1) h
    parameters. The bias of the forget gate starts at 1.

    Source: Feng et al. 2024 (arXiv:2410.01201).

    Args:
        units: h.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> from deeprnn_keras import DeepRNN
    >>> DeepRNN(8, num_layers=2, cell="min_lstm").num_layers
    2
    """

    equations_class = MinimalLSTM


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class QRNNCell(RecurrentCell):
    """Quasi-recurrent network with fo-pooling: convolution over the inputs, then an elementwise recurrence.

        f, o = s(z_t),  g = a(z_t),  c_t = f c_{t-1} + (1 - f) g,  h_t = o c_t
        window=1:  z_t = x_t W + b
        window=2:  z_t = x_t W + v_{t-1} + b,  v_t = x_t V

    The weights are `kernel` W (d, 3 h) and `bias` (3 h,), with the blocks candidate, forget, and output, and with
    `window=2` also `previous_kernel` V (d, 3 h): 3 (d + 1) h or 3 (2 d + 1) h parameters. The bias of the forget gate
    starts at 1. The states are h_t and c_t, and with `window=2` also v_t (n, 3 h), the product of the last input.

    Source: Bradbury et al. 2016 (arXiv:1611.01576).

    Args:
        units: h.
        window: Number of steps of x that the gates read, 1 or 2.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> from deeprnn_keras import DeepRNN
    >>> DeepRNN(8, num_layers=2, cell={"name": "qrnn", "window": 2}).state_size
    [[8, 8, 24], [8, 8, 24]]
    """

    equations_class = QuasiRecurrent


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class SRUCell(RecurrentCell):
    """Simple recurrent unit, whose gates see the cell state through one weight per unit.

        f = s(x_t W_f + v_f c_{t-1} + b_f),  r = s(x_t W_r + v_r c_{t-1} + b_r),
        c_t = f c_{t-1} + (1 - f) a(x_t W),  h_t = r c_t + (1 - r) x_t W_x

    The weights are `kernel` (d, 2 h) and `bias` (2 h,), with the blocks forget and reset; `input_kernel` (d, 2 h), with
    the blocks W and W_x; and `peephole_kernel` (2 h,), which starts at 0: 4 d h + 4 h parameters. The bias of the
    forget gate starts at 1.

    Source: Lei et al. 2018 (arXiv:1709.02755), which uses x_t itself instead of x_t W_x where d = h.

    Args:
        units: h.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> from deeprnn_keras import DeepRNN
    >>> DeepRNN(8, num_layers=2, cell="sru").num_layers
    2
    """

    equations_class = SimpleRecurrentUnit


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class RGLRUCell(RecurrentCell):
    """Real-gated linear recurrent unit, the recurrence of Griffin.

        u_t = f(x_t W + b),  r, i = s(u_t V + d),  a = exp(-k r),  h_t = a h_{t-1} + sqrt(1 - a^2) (i u_t)

    The weights are `kernel` W (d, h), `bias` b (h,), `decay` k (h,), `gate_kernel` V (h, 2 h), and `gate_bias` d
    (2 h,): (d + 1) h + 2 (h + 1) h + h parameters. k starts uniformly in [0.001, 0.105], so that a >= 0.9 at first,
    and is kept at or above 0; it is the 8 softplus(Lambda) of the paper, and W the projection before the recurrence.

    Source: De et al. 2024 (arXiv:2402.19427), section 2.4, with dense gates.

    Args:
        units: h.
        activation: f, linear in the paper.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> from deeprnn_keras import DeepRNN
    >>> DeepRNN(8, num_layers=2, cell="rg_lru").num_layers
    2
    """

    equations_class = GatedLinearUnit

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(units, **options)
        self.initializers["recurrent"] = self.initializers["recurrent"] or keras.initializers.RandomUniform(1e-3, 0.105)
        self.constraints["recurrent"] = self.constraints["recurrent"] or keras.constraints.NonNeg()
