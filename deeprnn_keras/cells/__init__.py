"""Keras cells defined by equations, with depth inside the step."""

from deeprnn_keras.cells.highway import RHNCell
from deeprnn_keras.cells.mlp_gates import MLPGateGRUCell, MLPGateLSTMCell, MLPGateRNNCell
from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.cells.transition import (
    DeepTransitionCell,
    deep_transition_gru,
    deep_transition_lstm,
    deep_transition_rnn,
)

__all__ = [
    "DeepTransitionCell",
    "MLPGateGRUCell",
    "MLPGateLSTMCell",
    "MLPGateRNNCell",
    "RHNCell",
    "RecurrentCell",
    "deep_transition_gru",
    "deep_transition_lstm",
    "deep_transition_rnn",
]
