"""AWD-LSTM language models, and a model of a fixed budget of weights."""

from deeprnn_keras import Recipe
from deeprnn_keras.training import PlateauDecay, StepDecay
from deeprnn_keras.zoo.initialization import Initialization
from deeprnn_keras.zoo.language_model import LanguageModelConfig
from deeprnn_keras.zoo.registry import register

WORDS = {
    "paper": "Merity, Keskar & Socher 2017, Regularizing and Optimizing LSTM Language Models",
    "url": "https://arxiv.org/abs/1708.02182",
    "symbols": "words",
    "units": (1150, 1150, 400),
    "num_layers": 3,
    "tied": True,
    "output_dropout": 0.4,
}
CHARACTERS = {
    "paper": "Merity, Keskar & Socher 2018, An Analysis of Neural Language Modeling at Multiple Scales",
    "url": "https://arxiv.org/abs/1803.08240",
    "num_layers": 3,
    "tied": True,
}
WORDS_RECIPE = {
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
START = Initialization("uniform", 0.04, forget_bias=0.0)
START_DIFFERS = (
    "all weights begin in U(-0.04, 0.04), there the embedding in U(-0.1, 0.1), an LSTM in U(-h^-1/2, h^-1/2)."
)
DIFFERS = f"Weight drop {{drop}} and embedding dropout {{embedding}} of the source are left out; {START_DIFFERS}"

register(
    LanguageModelConfig(
        name="awd_lstm_ptb",
        params=24_210_800,
        title="AWD-LSTM, words of Penn Treebank",
        data="Penn Treebank, 10,000 words",
        vocabulary=10_000,
        input_dropout=0.4,
        dropout=0.25,
        initialization=START,
        recipe=Recipe(**WORDS_RECIPE, batch_size=20, epochs=500),
        published="perplexity 60.0 validation, 57.3 test",
        differs=DIFFERS.format(drop=0.5, embedding=0.1),
        **WORDS,
    ),
    LanguageModelConfig(
        name="awd_lstm_wt2",
        params=33_545_278,
        title="AWD-LSTM, words of WikiText-2",
        data="WikiText-2, 33,278 words",
        vocabulary=33_278,
        input_dropout=0.65,
        dropout=0.2,
        initialization=START,
        recipe=Recipe(**WORDS_RECIPE, batch_size=80, epochs=750),
        published="perplexity 68.6 validation, 65.8 test",
        differs=DIFFERS.format(drop=0.5, embedding=0.1),
        **WORDS,
    ),
    LanguageModelConfig(
        name="awd_lstm_ptb_char",
        params=13_778_850,
        title="AWD-LSTM, characters of Penn Treebank",
        data="Penn Treebank, 50 characters",
        vocabulary=50,
        units=(1000, 1000, 200),
        input_dropout=0.1,
        dropout=0.25,
        output_dropout=0.1,
        initialization=START,
        recipe=Recipe(
            "adam",
            2e-3,
            StepDecay(0.1, (300, 400)),
            global_clipnorm=0.25,
            stateful=True,
            batch_size=128,
            bptt=150,
            epochs=500,
        ),
        published="1.175 bits per character",
        differs=f"Weight drop 0.5 of the source is left out; {START_DIFFERS}",
        **CHARACTERS,
    ),
    LanguageModelConfig(
        name="awd_lstm_enwik8",
        params=47_253_725,
        title="AWD-LSTM, bytes of Wikipedia",
        data="enwik8, the first 100 million bytes of a Wikipedia dump, 205 different ones",
        symbols="bytes",
        vocabulary=205,
        units=(1840, 1840, 400),
        input_dropout=0.1,
        dropout=0.1,
        output_dropout=0.4,
        initialization=START,
        recipe=Recipe(
            "adam",
            1e-3,
            StepDecay(0.1, (25, 35)),
            global_clipnorm=0.25,
            stateful=True,
            batch_size=128,
            bptt=200,
            epochs=50,
        ),
        published="1.232 bits per character",
        differs=f"Weight drop 0.2 of the source is left out; {START_DIFFERS}",
        **CHARACTERS,
    ),
    LanguageModelConfig(
        name="melis_lstm_ptb_10m",
        params=9_997_280,
        title="one LSTM layer in a budget of ten million weights",
        paper="Melis, Dyer & Blunsom 2018, On the State of the Art of Evaluation in Neural Language Models",
        url="https://arxiv.org/abs/1707.05589",
        data="Penn Treebank, 10,000 words",
        symbols="words",
        vocabulary=10_000,
        units=1194,
        num_layers=1,
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
        differs="Dropout 0.215 on the state is left out, and its masks are drawn anew at each step, there once for a "
        "sequence; patience, epochs, T and the initial range are ours.",
    ),
)
