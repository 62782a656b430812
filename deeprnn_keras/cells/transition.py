"""`DeepTransitionCell`: several layers (stages) between h_{t-1} and h_t."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import Config
from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations.transition import Transition, TransitionGRU, TransitionLSTM, TransitionRNN

EQUATIONS: dict[str, type[Transition]] = {"rnn": TransitionRNN, "gru": TransitionGRU, "lstm": TransitionLSTM}


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class DeepTransitionCell(RecurrentCell):
    """Deep-transition cell with D stages between h_{t-1} and h_t: a DT-RNN or, with shortcuts, a DT(S)-RNN.

    Each stage is a recurrence of type `cell`. Stage k computes s^(k) from s^(k-1); the first input is s^(0) = h_{t-1},
    and the last output is h_t = s^(D). The pre-activations of the gates are

        stage 1:                        x_t W_1 + s^(0) U_1 + b_1
        stage k > 1 without shortcuts:  s^(k-1) V_k + b_k
        stage k > 1 with shortcuts:     s^(k-1) V_k + b_k + x_t W_k + s^(0) U_k

    The cell state c of an LSTM passes through all stages, too. In a GRU, the reset gate multiplies the state before the
    recurrent product (Cho et al. 2014). With depth=1, the cell equals Keras' `SimpleRNNCell`,
    `GRUCell(reset_after=False)`, or `LSTMCell`.

    The weights have these shapes, where G is the number of gates (1, 3, or 4), and S is D with shortcuts and 1 without:

    - `kernel`: [W_1, ..., W_S], (d, S G h).
    - `recurrent_kernel`: [U_1, ..., U_S], (h, S G h).
    - `bias`: (S G h,).
    - `transition_kernel_k`: V_k, (h, G h), for k = 2, ..., D.
    - `transition_bias_k`: b_k, (G h,), for k = 2, ..., D, only without shortcuts.

    The number of parameters is G h [(d + h) S + h (D - 1) + D].

    By default, the W_k are initialized with "glorot_uniform", and the U_k and V_k with "orthogonal", each gate
    separately, so that every stage preserves the norm of its input. The biases of the forget gates of LSTM stages are
    1, and all other biases are 0.

    Sources: Pascanu et al. 2013 (arXiv:1312.6026), for "rnn"; Miceli Barone et al. 2017 (arXiv:1707.07631), for
    "gru" without shortcuts.

    Args:
        units: h, the width of every stage.
        depth: D.
        shortcut: Connect x_t and h_{t-1} to every stage, not only to the first. Without shortcuts, the gradient passes
            through D nonlinearities from step to step, which makes long-term dependencies harder to learn.
        cell: "rnn", "gru", or "lstm".
        activation: As in the Keras cell.
        recurrent_activation: As in the Keras cell; not for "rnn".
        **options: See `RecurrentCell`.

    Raises:
        ValueError: If `cell` is not supported, or a size is out of range.

    >>> import keras
    >>> from deeprnn_keras.cells import DeepTransitionCell
    >>> keras.layers.RNN(DeepTransitionCell(8, depth=3, cell="gru"))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    def __init__(self, units: int, depth: int = 2, shortcut: bool = True, cell: str = "rnn", **options: Any) -> None:
        self.equations_class = EQUATIONS[checks.one_of("cell", cell, EQUATIONS)]
        super().__init__(units, depth, shortcut, **options)
        self.cell: str = cell

    @override
    def get_config(self) -> Config:
        return {**super().get_config(), "cell": self.cell}


deep_transition_rnn = partial(DeepTransitionCell, cell="rnn")
deep_transition_gru = partial(DeepTransitionCell, cell="gru")
deep_transition_lstm = partial(DeepTransitionCell, cell="lstm")
