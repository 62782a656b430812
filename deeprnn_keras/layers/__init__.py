"""Layers: `DeepRNN`, drop-in replacements for Keras' recurrent layers, and layers for their inputs and outputs."""

from __future__ import annotations

from deeprnn_keras import (
    _compat,
    optimizers,  # noqa: F401 - registers the optimizers that a saved model may contain
)
from deeprnn_keras._compat import exporting
from deeprnn_keras.layers.blank_padding import BlankPadding
from deeprnn_keras.layers.deep_rnn import DeepRNN
from deeprnn_keras.layers.drop_ins import GRU, LSTM, RNN, SimpleRNN
from deeprnn_keras.layers.dry_channel import AddDryChannel
from deeprnn_keras.layers.one_hot import OneHot
from deeprnn_keras.layers.per_step import DeepInput, DeepOutput

_compat.install_export_hooks()
_compat.install_model_hooks()

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AddDryChannel",
    "BlankPadding",
    "DeepInput",
    "DeepOutput",
    "DeepRNN",
    "OneHot",
    "SimpleRNN",
    "exporting",
]
