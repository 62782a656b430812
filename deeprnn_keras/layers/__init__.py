"""Layers: `DeepRNN` and what it is made of."""

from deeprnn_keras.layers.deep_rnn import DeepRNN
from deeprnn_keras.layers.one_hot import OneHot

__all__ = ["DeepRNN", "OneHot"]
