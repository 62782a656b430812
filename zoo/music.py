"""Polyphonic music: which of the notes sound in the next frame."""

from deeprnn_keras import Recipe
from deeprnn_keras.training import CosineDecay
from deeprnn_keras.zoo.classification import BAI
from deeprnn_keras.zoo.initialization import Initialization
from deeprnn_keras.zoo.registry import register
from deeprnn_keras.zoo.sequence_model import SequenceModelConfig

ROLL = {"task": "music", "inputs": 88, "outputs": 88, "kind": "notes"}

register(
    SequenceModelConfig(
        name="music_lstm_jsb",
        params=569_688,
        title="the LSTM that temporal convolutions were compared with, on Bach's chorales",
        data="JSB chorales, 229, 76 and 77 pieces, a frame each quarter note, 88 notes",
        units=200,
        num_layers=2,
        dropout=0.2,
        output_dropout=0.2,
        initialization=Initialization("keras", forget_bias=10.0),
        recipe=Recipe("adam", 1e-3, global_clipnorm=1.0, batch_size=1, bptt=160, epochs=100),
        published="8.45 nats a frame (GRU 8.43, RNN 8.91)",
        differs="The paper says about 300,000 weights, its own sizes give 569,688; optimizer and rate are ours, "
        "since it has none for the LSTM.",
        corpus="piano_rolls",
        **BAI,
        **ROLL,
    ),
    SequenceModelConfig(
        name="music_lstm_nottingham",
        params=1_694_648,
        title="the LSTM that temporal convolutions were compared with, on folk tunes",
        data="Nottingham, 694, 173 and 170 tunes, a frame each quarter note, 88 notes",
        units=280,
        num_layers=3,
        dropout=0.1,
        output_dropout=0.1,
        initialization=Initialization("keras"),
        recipe=Recipe("adam", 4e-3, global_clipnorm=0.5, batch_size=1, bptt=1_793, epochs=100),
        published="3.29 nats a frame (GRU 3.46, RNN 4.05)",
        differs="One piece an update, as in the authors' program.",
        corpus="piano_rolls",
        **BAI,
        **ROLL,
    ),
    SequenceModelConfig(
        name="bach_lstm_2x256",
        params=901_208,
        title="our model of Bach's four-part chorales, two frames a quarter note",
        paper="none: a configuration of this project",
        url="",
        data="Bach's four-part chorales as in music21: 300 to learn from, in all twelve keys, 32 to validate on, 32 to "
        "be tested on, parted by catalogue number; a frame each eighth note, 88 notes",
        corpus="bach_chorales",
        units=256,
        num_layers=2,
        dropout=0.3,
        output_dropout=0.3,
        recipe=Recipe(
            "adam", 3e-3, CosineDecay(final=0.05, warmup=0.03), global_clipnorm=1.0, batch_size=16, epochs=14
        ),
        **ROLL,
    ),
)
