"""Layers: `DeepRNN` and what it is made of, drop-ins for Keras' recurrent layers, and what stands before and behind."""

from deeprnn_keras import (
    _compat,
    optimizers,  # noqa: F401 - a file with these layers may name one
)
from deeprnn_keras._compat import exporting
from deeprnn_keras.layers.deep_rnn import DeepRNN
from deeprnn_keras.layers.drop_ins import GRU, LSTM, SimpleRNN
from deeprnn_keras.layers.one_hot import OneHot
from deeprnn_keras.layers.per_step import DeepInput, DeepOutput
from deeprnn_keras.layers.rnn import RNN

_compat.install_export_hooks()
_compat.install_model_hooks()

__all__ = ["GRU", "LSTM", "RNN", "DeepInput", "DeepOutput", "DeepRNN", "OneHot", "SimpleRNN", "exporting"]
