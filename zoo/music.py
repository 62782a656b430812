"""Polyphonic music models: predict the notes of the next frame."""

from __future__ import annotations

from deeprnn_keras import Recipe
from deeprnn_keras._types import Config
from deeprnn_keras.training import CosineDecay
from deeprnn_keras.zoo.classification import BAI_2018
from deeprnn_keras.zoo.initialization import Initialization
from deeprnn_keras.zoo.registry import register
from deeprnn_keras.zoo.sequence_model import SequenceModelConfig

PIANO_ROLL: Config = {"task": "music", "inputs": 88, "outputs": 88, "kind": "notes"}

register(
    SequenceModelConfig(
        name="music_lstm_jsb",
        params=569_688,
        title="LSTM baseline of the temporal convolutional network paper, Bach chorales",
        data="JSB Chorales: 229 training, 76 validation, and 77 test pieces; one frame per quarter note, 88 notes",
        units=200,
        num_layers=2,
        dropout=0.2,
        output_dropout=0.2,
        initialization=Initialization("keras", forget_bias=10.0),
        recipe=Recipe("adam", 1e-3, global_clipnorm=1.0, batch_size=1, bptt=160, epochs=100),
        published="8.45 nats per frame (GRU 8.43, RNN 8.91)",
        differs="The paper states about 300,000 parameters, but its sizes give 569,688. It states neither "
        "the optimizer nor the learning rate of the LSTM; both were chosen by this project.",
        corpus="piano_rolls",
        **BAI_2018,
        **PIANO_ROLL,
    ),
    SequenceModelConfig(
        name="music_lstm_nottingham",
        params=1_694_648,
        title="LSTM baseline of the temporal convolutional network paper, folk tunes",
        data="Nottingham: 694 training, 173 validation, and 170 test tunes; one frame per quarter note, 88 notes",
        units=280,
        num_layers=3,
        dropout=0.1,
        output_dropout=0.1,
        initialization=Initialization("keras"),
        recipe=Recipe("adam", 4e-3, global_clipnorm=0.5, batch_size=1, bptt=1_793, epochs=100),
        published="3.29 nats per frame (GRU 3.46, RNN 4.05)",
        differs="The batch size of 1 is taken from the authors' code.",
        corpus="piano_rolls",
        **BAI_2018,
        **PIANO_ROLL,
    ),
    SequenceModelConfig(
        name="bach_lstm_2x256",
        params=901_208,
        title="LSTM for Bach's four-part chorales, 2 frames per quarter note",
        paper="none: a configuration of this project",
        url="",
        data="Bach's four-part chorales from music21, split by catalog number: 300 training chorales in all 12 keys, "
        "32 validation, and 32 test chorales; one frame per eighth note, 88 notes",
        corpus="bach_chorales",
        units=256,
        num_layers=2,
        dropout=0.3,
        output_dropout=0.3,
        recipe=Recipe(
            "adam", 3e-3, CosineDecay(final=0.05, warmup=0.03), global_clipnorm=1.0, batch_size=16, epochs=14
        ),
        **PIANO_ROLL,
    ),
)
