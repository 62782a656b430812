"""Layers: `DeepRNN` and what it is made of, and drop-ins for Keras' recurrent layers."""

from deeprnn_keras.layers.deep_rnn import DeepRNN
from deeprnn_keras.layers.drop_ins import GRU, LSTM, SimpleRNN
from deeprnn_keras.layers.one_hot import OneHot

__all__ = ["GRU", "LSTM", "DeepRNN", "OneHot", "SimpleRNN"]
