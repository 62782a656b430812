"""Language models with deep transitions: Pascanu et al. 2013, and recurrent highway networks."""

from __future__ import annotations

from typing import Any

from deeprnn_keras import Recipe
from deeprnn_keras._types import Config
from deeprnn_keras.training import GeometricDecay
from deeprnn_keras.zoo.initialization import Initialization
from deeprnn_keras.zoo.language_model import LanguageModelConfig
from deeprnn_keras.zoo.registry import register


def pascanu(name: str, params: int, title: str, published: str | None, **architecture: Any) -> LanguageModelConfig:
    """Return a model of Pascanu et al. 2013 for the characters of Penn Treebank.

    The paper states widths and rounded parameter counts: stacked RNN 400-400, 520K; DT(S)-RNN 400-400, 540K; DOT(S)-RNN
    400-400-600, 790K. With one-hot inputs (d = V = 50) and h = 400, the exact counts are:

        stacked  (50 + 400 + 1) 400 + (400 + 400 + 1) 400 + 401 x 50                        =  520,850
        DT(S)    x to both stages 50 x 800, h to both 400 x 800, between them 400 x 400,
                 biases 800; head 401 x 50                                                  =  540,850
        DOT(S)   as DT(S) up to the head; 401 x 600 + 601 x 50                              =  791,450

    The rounded count of DT(S), 540K, is reached only if x is connected to both stages. This is the layer
    RecurrentMultiLayerShortPathInpAll of the authors' code (GroundHog, tutorials/DT_RNN_Tut.py).
    """
    return LanguageModelConfig(
        name=name,
        params=params,
        title=title,
        paper="Pascanu, Gulcehre, Cho & Bengio 2013, How to Construct Deep Recurrent Neural Networks",
        url="https://arxiv.org/abs/1312.6026",
        data="Penn Treebank, 50 characters",
        vocabulary=50,
        units=400,
        recipe=Recipe("sgd", learning_rate=1.0, global_clipnorm=1.0, batch_size=1, bptt=100, epochs=20),
        published=published,
        differs="Learning rate, clipping, and T are those of the authors' tutorial code. Its momentum, weight noise, "
        "sparse recurrent matrices, and halving of the learning rate on plateaus are not applied. The number of epochs "
        "and tanh were chosen by this project, and each window starts from a zero state.",
        **architecture,
    )


DEEP_TRANSITION: Config = {"name": "deep_transition_rnn", "depth": 2, "shortcut": True}

register(
    pascanu(
        "pascanu_srnn_ptb_char",
        520_850,
        "Stacked RNN",
        "1.41 bits per character",
        num_layers=2,
        cell="rnn",
    ),
    pascanu(
        "pascanu_dts_ptb_char",
        540_850,
        "DT(S)-RNN: deep transition with shortcut connections",
        None,
        num_layers=1,
        cell=DEEP_TRANSITION,
    ),
    pascanu(
        "pascanu_dots_ptb_char",
        791_450,
        "DOT(S)-RNN: deep transition with shortcut connections, deep output",
        "1.39 bits per character",
        num_layers=1,
        cell=DEEP_TRANSITION,
        head_units=(600,),
    ),
    LanguageModelConfig(
        name="rhn_ptb",
        params=23_482_400,
        title="Recurrent highway network of depth 10",
        paper="Zilly, Srivastava, Koutnik & Schmidhuber 2016, Recurrent Highway Networks",
        url="https://arxiv.org/abs/1607.03474",
        data="Penn Treebank, 10,000 words",
        symbols="words",
        vocabulary=10_000,
        units=830,
        num_layers=1,
        # G h (d + D (h + 1)) = 2 x 830 (830 + 10 x 831) = 15,172,400; E 8,300,000; b 10,000: 23,482,400, "23M"
        cell={"name": "rhn", "depth": 10, "coupled": True, "transform_bias": -2.0, "recurrent_dropout": 0.25},
        tied=True,
        input_dropout=0.75,
        output_dropout=0.75,
        initialization=Initialization("uniform", 0.04),
        recipe=Recipe(
            "sgd",
            0.2,
            GeometricDecay(1 / 1.02, after=20),
            global_clipnorm=10.0,
            sum_over_time=True,
            weight_decay=1e-7,
            stateful=True,
            batch_size=20,
            bptt=35,
            epochs=300,
        ),
        published="perplexity 67.9 validation, 65.4 test",
        differs="Word dropout of 0.25 and dropout masks that are constant over time for input and output are not "
        "applied. Biases other than those of the transform gates are initialized to 0. The number of epochs was chosen "
        "by this project.",
    ),
)
