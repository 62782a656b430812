"""Language models: Dive into Deep Learning, char-rnn, Zaremba et al. 2014, and those of this project."""

from __future__ import annotations

from deeprnn_keras import Recipe
from deeprnn_keras._types import Config
from deeprnn_keras.data import LETTERS
from deeprnn_keras.training import CosineDecay, GeometricDecay
from deeprnn_keras.zoo.initialization import Initialization
from deeprnn_keras.zoo.language_model import LanguageModelConfig
from deeprnn_keras.zoo.registry import register

KING_JAMES_CHARACTERS = "\n !(),-.:;?ABCDEFGHIJKLMNOPQRSTUVWYZabcdefghijklmnopqrstuvwxyzÆæ\u2014\u2019"

D2L_MODEL: Config = {
    "data": "The Time Machine, characters reduced to a-z and space: 28 symbols with <unk>",
    "vocabulary": LETTERS,
    "letters": True,
    "paper": "Zhang et al., Dive into Deep Learning",
}
D2L_RECIPE: Config = {"optimizer": "sgd", "learning_rate": 2.0, "global_clipnorm": 1.0}
D2L_WINDOWS: Config = {
    "batch_size": 1024,
    "bptt": 32,
    "stride": 1,
    "train_windows": 10_000,
    "validation_windows": 5_000,
}

KING_JAMES_MODEL: Config = {
    "limits": "The text is English of 1611. The vocabulary has 66 characters; others are rejected.",
    "paper": "none: a configuration of this project",
    "url": "",
    "data": "King James Bible; the last tenth of each of 10 equal sections is held out",
    "corpus": "king_james",
    "vocabulary": KING_JAMES_CHARACTERS,
    "num_layers": 2,
}
KING_JAMES_RECIPE: Config = {
    "schedule": CosineDecay(final=0.05, warmup=0.03),
    "global_clipnorm": 1.0,
    "batch_size": 32,
    "bptt": 64,
}

register(
    LanguageModelConfig(
        name="d2l_rnn_2x32",
        params=4_956,
        title="Stacked RNN of Dive into Deep Learning",
        url="https://d2l.ai/chapter_recurrent-modern/deep-rnn.html",
        units=32,
        num_layers=2,
        cell="rnn",
        initialization=Initialization("normal", 0.01),
        recipe=Recipe(**D2L_RECIPE, **D2L_WINDOWS, epochs=100),
        published="validation perplexity about 6.8 to 6.95",
        **D2L_MODEL,
    ),
    LanguageModelConfig(
        name="d2l_gru_2x32",
        params=13_212,
        title="Stacked GRU of Dive into Deep Learning",
        url="https://d2l.ai/chapter_recurrent-modern/deep-rnn.html",
        units=32,
        num_layers=2,
        cell="gru",
        initialization=Initialization("keras"),
        recipe=Recipe(**D2L_RECIPE, **D2L_WINDOWS, epochs=100),
        published="validation perplexity about 6.1 to 6.7",
        **D2L_MODEL,
    ),
    LanguageModelConfig(
        name="d2l_lstm_2x256",
        params=824_348,
        title="Stacked LSTM of Dive into Deep Learning, v0.17",
        url="https://d2l.ai",
        units=256,
        num_layers=2,
        initialization=Initialization("keras", forget_bias=0.0),
        recipe=Recipe(
            **D2L_RECIPE,
            stateful=True,
            batch_size=32,
            bptt=35,
            epochs=500,
            stride=35,
            train_windows=285,
            validation_windows=142,
        ),
        published="training perplexity 1.0 (memorizes the 10,000 characters); no validation result",
        differs="In the source, the streams start at a random offset below T in each epoch; here, they are the same in "
        "every epoch.",
        limits="The model memorizes its 10,000 training characters.",
        **D2L_MODEL,
    ),
)


def char_rnn(units: int, num_layers: int, dropout: float, params: int) -> LanguageModelConfig:
    """Return a model of Karpathy's char-rnn, with the defaults of its command line as the recipe."""
    return LanguageModelConfig(
        name=f"char_rnn_{num_layers}x{units}",
        params=params,
        title="char-rnn by Karpathy",
        paper="Karpathy 2015, The Unreasonable Effectiveness of Recurrent Neural Networks",
        url="https://github.com/karpathy/char-rnn",
        data="Tiny Shakespeare, 65 characters",
        vocabulary=65,
        units=units,
        num_layers=num_layers,
        dropout=dropout,
        output_dropout=dropout,
        initialization=Initialization("uniform", 0.08, forget_bias=1.0),
        recipe=Recipe(
            optimizer="rmsprop",
            optimizer_options={"rho": 0.95},
            learning_rate=2e-3,
            schedule=GeometricDecay(0.97, after=10),
            clipvalue=5.0,
            sum_over_time=True,
            stateful=True,
            batch_size=50,
            bptt=50,
            epochs=50,
        ),
        differs="LSTM biases other than the forget bias are initialized to 0; the source draws them from "
        "U(-0.08, 0.08).",
    )


register(
    char_rnn(128, 2, 0.0, 239_297),
    char_rnn(512, 2, 0.5, 3_316_289),
    char_rnn(700, 3, 0.0, 10_035_965),
)


def zaremba(
    size: str,
    units: int,
    params: int,
    scale: float,
    dropout: float,
    schedule: GeometricDecay,
    global_clipnorm: float,
    bptt: int,
    epochs: int,
    published: str,
) -> LanguageModelConfig:
    """Return a model of Zaremba et al. 2014, with dropout on all but the recurrent connections."""
    return LanguageModelConfig(
        name=f"zaremba_{size}",
        params=params,
        title=f"{'Regularized' if dropout else 'Unregularized'} LSTM, {size}",
        paper="Zaremba, Sutskever & Vinyals 2014, Recurrent Neural Network Regularization",
        url="https://arxiv.org/abs/1409.2329",
        data="Penn Treebank, 10,000 words",
        symbols="words",
        vocabulary=10_000,
        embedding=units,
        units=units,
        num_layers=2,
        input_dropout=dropout,
        dropout=dropout,
        output_dropout=dropout,
        initialization=Initialization("uniform", scale, forget_bias=0.0),
        recipe=Recipe(
            "sgd",
            1.0,
            schedule,
            global_clipnorm=global_clipnorm,
            sum_over_time=True,
            stateful=True,
            batch_size=20,
            bptt=bptt,
            epochs=epochs,
        ),
        published=published,
    )


register(
    zaremba(
        "small",
        200,
        4_651_600,
        0.1,
        0.0,
        GeometricDecay(0.5, 4),
        5.0,
        20,
        13,
        "perplexity 121.4 validation, 115.9 test",
    ),
    zaremba("medium", 650, 19_775_200, 0.05, 0.5, GeometricDecay(0.8, 6), 5.0, 35, 39, "perplexity 82.7 test"),
    zaremba(
        "large",
        1500,
        66_022_000,
        0.04,
        0.65,
        GeometricDecay(1 / 1.15, 14),
        10.0,
        35,
        55,
        "perplexity 82.2 validation, 78.4 test",
    ),
    LanguageModelConfig(
        name="kjv_lstm_2x256",
        params=875_202,
        title="Default model: characters of the King James Bible",
        units=256,
        embedding=64,
        recipe=Recipe(learning_rate=5e-3, epochs=2, min_steps=3000, **KING_JAMES_RECIPE),
        **KING_JAMES_MODEL,
    ),
    LanguageModelConfig(
        name="kjv_gru_2x256",
        params=663_234,
        title="Default model with GRU cells",
        units=256,
        cell="gru",
        embedding=64,
        recipe=Recipe(learning_rate=4e-3, epochs=2, min_steps=3000, **KING_JAMES_RECIPE),
        **KING_JAMES_MODEL,
    ),
    LanguageModelConfig(
        name="kjv_lstm_2x512",
        params=3_318_978,
        title="Larger model of the King James Bible, trained with carried states",
        units=512,
        embedding=64,
        dropout=0.1,
        output_dropout=0.1,
        recipe=Recipe(learning_rate=3e-3, epochs=5, stateful=True, **KING_JAMES_RECIPE),
        **KING_JAMES_MODEL,
    ),
    LanguageModelConfig(
        name="griffin_kjv",
        params=876_810,
        title="Recurrences of Griffin, parallel over time, at the size of the default model",
        units=264,
        cell={"name": "rg_lru", "max_decay": 3.0},
        activation="silu",
        normalization="rms",
        recipe=Recipe(learning_rate=4e-3, epochs=2, min_steps=3000, **KING_JAMES_RECIPE),
        **{
            **KING_JAMES_MODEL,
            "num_layers": 4,
            "paper": "De et al. 2024, Griffin: Mixing Gated Linear Recurrences with Local Attention for Efficient "
            "Language Models",
            "url": "https://arxiv.org/abs/2402.19427",
            "differs": "A configuration of this project with the recurrence of the paper and dense gates: its layers "
            "are residual and read normalized inputs, with SiLU before the recurrence, but there are no convolutions, "
            "MLP blocks, gated branches, or attention. Decays start in [0.001, 3] instead of [0.001, 0.105].",
        },
    ),
    LanguageModelConfig(
        name="bytes_lstm_2x256",
        params=936_192,
        title="Default model over bytes: text in any script, without unknown symbols",
        symbols="bytes",
        units=256,
        embedding=64,
        recipe=Recipe(learning_rate=5e-3, epochs=2, min_steps=3000, **KING_JAMES_RECIPE),
        **{
            **KING_JAMES_MODEL,
            "vocabulary": 256,
            "limits": "A character outside ASCII is encoded as several bytes and takes one time step per byte.",
        },
    ),
)
