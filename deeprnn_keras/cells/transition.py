"""`DeepTransitionCell`: several stages from one step to the next."""

from functools import partial

import keras

from deeprnn_keras import checks
from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations.transition import TransitionGRU, TransitionLSTM, TransitionRNN

STAGES = {"rnn": TransitionRNN, "gru": TransitionGRU, "lstm": TransitionLSTM}


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class DeepTransitionCell(RecurrentCell):
    """DT-RNN, and with shortcuts DT(S)-RNN: from h_{t-1} to h_t the state goes through D stages.

    Each stage is a recurrence of the kind `cell`; what enters its gates is, with s^(0) = h_{t-1}:

        stage 1:      x_t W_1 + s^(0) U_1 + b_1
        stage k > 1:  s^(k-1) V_k + b_k,  and with shortcuts  + x_t W_k + s^(0) U_k

    h_t = s^(D). An LSTM's c goes through all stages, too. In a GRU the reset gate acts before the product (Cho et al.
    2014). depth=1 is the plain cell: `SimpleRNNCell`, `GRUCell(reset_after=False)`, `LSTMCell`.

    Args:
        units: h, of every stage.
        depth: D.
        shortcut: whether stages after the first read x_t and h_{t-1} too: without, the gradient from step to step
            passes D non-linearities, which makes long dependencies harder to learn.
        cell: "rnn", "gru" or "lstm".
        activation, recurrent_activation: as in the plain cell; "rnn" has the first only.
        Others: see `RecurrentCell`.

    Weights (G gates: 1, 3, 4; S = D with shortcuts, else 1): kernel (d, S G h), recurrent_kernel (h, S G h), bias
    (S G h,), transition_kernel_k (h, G h) for k = 2, ..., D, without shortcuts transition_bias_k (G h,):
    G h [(d + h) S + h (D - 1) + D].

    Initialization: maps of x glorot_uniform, maps of states orthogonal, gate by gate and stage by stage, so that a
    stage hands on the length of what it gets; forget gates of LSTM stages start at bias 1.

    Raises:
        ValueError: for another cell, or sizes out of range.

    Sources: Pascanu et al. 2013 (arXiv:1312.6026), for "rnn"; Miceli Barone et al. 2017 (arXiv:1707.07631), for
    "gru" without shortcuts.

    >>> import keras
    >>> from deeprnn_keras.cells import DeepTransitionCell
    >>> keras.layers.RNN(DeepTransitionCell(8, depth=3, cell="gru"))(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    def __init__(self, units, depth=2, shortcut=True, cell="rnn", **options):
        self.equations_class = STAGES[checks.one_of("cell", cell, STAGES)]
        super().__init__(units, depth, shortcut, **options)
        self.cell = cell

    def get_config(self):
        return {**super().get_config(), "cell": self.cell}


deep_transition_rnn = partial(DeepTransitionCell, cell="rnn")
deep_transition_gru = partial(DeepTransitionCell, cell="gru")
deep_transition_lstm = partial(DeepTransitionCell, cell="lstm")
