"""AWD-LSTM language models, and an LSTM with a fixed parameter budget."""

from __future__ import annotations

from deeprnn_keras import Recipe
from deeprnn_keras._types import Config
from deeprnn_keras.training import PlateauDecay, StepDecay
from deeprnn_keras.zoo.initialization import Initialization
from deeprnn_keras.zoo.language_model import LanguageModelConfig
from deeprnn_keras.zoo.registry import register

WORD_MODEL: Config = {
    "paper": "Merity, Keskar & Socher 2017, Regularizing and Optimizing LSTM Language Models",
    "url": "https://arxiv.org/abs/1708.02182",
    "symbols": "words",
    "units": (1150, 1150, 400),
    "num_layers": 3,
    "tied": True,
    "output_dropout": 0.4,
    "embedding_dropout": 0.1,
    "weight_dropout": 0.5,
    "variational": True,
}
CHARACTER_MODEL: Config = {
    "paper": "Merity, Keskar & Socher 2018, An Analysis of Neural Language Modeling at Multiple Scales",
    "url": "https://arxiv.org/abs/1803.08240",
    "num_layers": 3,
    "tied": True,
    "variational": True,
}
CHARACTER_RECIPE: Config = {
    "optimizer": "adam",
    "global_clipnorm": 0.25,
    "weight_decay": 1.2e-6,
    "stateful": True,
    "random_bptt": True,
    "batch_size": 128,
}
WORD_RECIPE: Config = {
    "optimizer": "sgd",
    "learning_rate": 30.0,
    "averaging": "nt-asgd",
    "global_clipnorm": 0.25,
    "weight_decay": 1.2e-6,
    "ar": 2.0,
    "tar": 1.0,
    "stateful": True,
    "random_bptt": True,
    "bptt": 70,
}
INITIALIZATION = Initialization("uniform", 0.04, forget_bias=0.0)
INITIALIZATION_DIFFERENCE = (
    "All weights are initialized from U(-0.04, 0.04); the source uses U(-0.1, 0.1) for the embedding and "
    "U(-h^-1/2, h^-1/2) for each LSTM."
)
ACTIVATION_DIFFERENCE = (
    "Activation regularization (AR) applies to the output of the stack before dropout; in the source, after dropout."
)
WORD_DIFFERENCES = f"{ACTIVATION_DIFFERENCE} {INITIALIZATION_DIFFERENCE}"
CHARACTER_DIFFERENCES = (
    "Random lengths T and weight decay are those of the authors' code. Weight decay is decoupled from Adam. "
    f"{INITIALIZATION_DIFFERENCE}"
)

register(
    LanguageModelConfig(
        name="awd_lstm_ptb",
        params=24_210_800,
        title="AWD-LSTM, Penn Treebank words",
        data="Penn Treebank, 10,000 words",
        vocabulary=10_000,
        input_dropout=0.4,
        dropout=0.25,
        initialization=INITIALIZATION,
        recipe=Recipe(**WORD_RECIPE, batch_size=20, epochs=500),
        published="perplexity 60.0 validation, 57.3 test",
        differs=WORD_DIFFERENCES,
        **WORD_MODEL,
    ),
    LanguageModelConfig(
        name="awd_lstm_wt2",
        params=33_545_278,
        title="AWD-LSTM, WikiText-2 words",
        data="WikiText-2, 33,278 words",
        vocabulary=33_278,
        input_dropout=0.65,
        dropout=0.2,
        initialization=INITIALIZATION,
        recipe=Recipe(**WORD_RECIPE, batch_size=80, epochs=750),
        published="perplexity 68.6 validation, 65.8 test",
        differs=WORD_DIFFERENCES,
        **WORD_MODEL,
    ),
    LanguageModelConfig(
        name="awd_lstm_ptb_char",
        params=13_778_850,
        title="AWD-LSTM, Penn Treebank characters",
        data="Penn Treebank, 50 characters",
        vocabulary=50,
        units=(1000, 1000, 200),
        input_dropout=0.1,
        dropout=0.25,
        output_dropout=0.1,
        weight_dropout=0.5,
        initialization=INITIALIZATION,
        recipe=Recipe(
            **CHARACTER_RECIPE, learning_rate=2e-3, schedule=StepDecay(0.1, (300, 400)), bptt=150, epochs=500
        ),
        published="1.175 bits per character",
        differs=CHARACTER_DIFFERENCES,
        **CHARACTER_MODEL,
    ),
    LanguageModelConfig(
        name="awd_lstm_enwik8",
        params=47_253_725,
        title="AWD-LSTM, Wikipedia bytes",
        data="enwik8, the first 100 million bytes of a Wikipedia dump, 205 distinct byte values",
        symbols="bytes",
        vocabulary=205,
        units=(1840, 1840, 400),
        input_dropout=0.1,
        dropout=0.1,
        output_dropout=0.4,
        weight_dropout=0.2,
        initialization=INITIALIZATION,
        recipe=Recipe(**CHARACTER_RECIPE, learning_rate=1e-3, schedule=StepDecay(0.1, (25, 35)), bptt=200, epochs=50),
        published="1.232 bits per character",
        differs=CHARACTER_DIFFERENCES,
        **CHARACTER_MODEL,
    ),
    LanguageModelConfig(
        name="melis_lstm_ptb_10m",
        params=9_997_280,
        title="Single-layer LSTM with a budget of 10 million parameters",
        paper="Melis, Dyer & Blunsom 2018, On the State of the Art of Evaluation in Neural Language Models",
        url="https://arxiv.org/abs/1707.05589",
        data="Penn Treebank, 10,000 words",
        symbols="words",
        vocabulary=10_000,
        units=1194,
        num_layers=1,
        cell={"name": "lstm", "recurrent_dropout": 0.215},
        variational=True,
        projection=268,
        tied=True,
        input_dropout=0.58,
        output_dropout=0.327,
        initialization=Initialization("uniform", 0.04, forget_bias=1.0),
        recipe=Recipe(
            "adam",
            4.18e-3,
            PlateauDecay(0.1, patience=30),
            global_clipnorm=10.0,
            stateful=True,
            batch_size=64,
            bptt=35,
            epochs=300,
            optimizer_options={"beta_1": 0.0},
        ),
        published=None,
        limits="Dropout of the state, as in the source, requires the loop implementation.",
        differs="Patience, epochs, T, and the initialization range were chosen by this project.",
    ),
)
