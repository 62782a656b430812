"""Keras cells defined by equations: depth inside the step, other gates, normalization."""

from deeprnn_keras.cells.gated import (
    CoupledLSTMCell,
    FastGRNNCell,
    MGUCell,
    MultiplicativeLSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    UGRNNCell,
)
from deeprnn_keras.cells.highway import RHNCell
from deeprnn_keras.cells.independent import IndRNNCell
from deeprnn_keras.cells.layer_norm import LayerNormGRUCell, LayerNormLSTMCell
from deeprnn_keras.cells.mlp_gates import MLPGateGRUCell, MLPGateLSTMCell, MLPGateRNNCell
from deeprnn_keras.cells.parallel import LRUCell, MinGRUCell, MinLSTMCell, QRNNCell, RGLRUCell, SRUCell
from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.cells.transition import (
    DeepTransitionCell,
    deep_transition_gru,
    deep_transition_lstm,
    deep_transition_rnn,
)

__all__ = [
    "CoupledLSTMCell",
    "DeepTransitionCell",
    "FastGRNNCell",
    "IndRNNCell",
    "LRUCell",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "MGUCell",
    "MLPGateGRUCell",
    "MLPGateLSTMCell",
    "MLPGateRNNCell",
    "MinGRUCell",
    "MinLSTMCell",
    "MultiplicativeLSTMCell",
    "PeepholeLSTMCell",
    "ProjectedLSTMCell",
    "QRNNCell",
    "RGLRUCell",
    "RHNCell",
    "RecurrentCell",
    "SRUCell",
    "UGRNNCell",
    "deep_transition_gru",
    "deep_transition_lstm",
    "deep_transition_rnn",
]
