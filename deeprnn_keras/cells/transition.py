"""`DeepTransitionCell`: several stages from one step to the next."""

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
    """Deep-transition cell, DT-RNN or DT(S)-RNN with shortcuts: the state passes through D stages from h_{t-1} to h_t.

    Each stage is a recurrence of type `cell`. The pre-activations of its gates are, with s^(0) = h_{t-1}:

        stage 1:      x_t W_1 + s^(0) U_1 + b_1
        stage k > 1:  s^(k-1) V_k + b_k [+ x_t W_k + s^(0) U_k with shortcuts]

    h_t = s^(D). The cell state c of an LSTM passes through all stages, too. In a GRU, the reset gate multiplies the
    state before the recurrent product (Cho et al. 2014). With depth=1, the cell equals Keras' `SimpleRNNCell`,
    `GRUCell(reset_after=False)`, or `LSTMCell`.

    Weights (G gates: 1, 3, or 4; S = D with shortcuts, else 1): kernel (d, S G h), recurrent_kernel (h, S G h), bias
    (S G h,), transition_kernel_k (h, G h) for k = 2, ..., D, and without shortcuts transition_bias_k (G h,):
    G h [(d + h) S + h (D - 1) + D].

    Initialization: maps of x glorot_uniform, maps of states orthogonal, each gate and stage separately, so that every
    stage preserves the norm of its input; the forget gates of LSTM stages have bias 1.

    Sources: Pascanu et al. 2013 (arXiv:1312.6026), for "rnn"; Miceli Barone et al. 2017 (arXiv:1707.07631), for
    "gru" without shortcuts.

    Args:
        units: h, the width of every stage.
        depth: D.
        shortcut: Connect x_t and h_{t-1} to every stage, not only to the first. Without shortcuts, the gradient passes
            D non-linearities from step to step, which makes long-term dependencies harder to learn.
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
