"""Independently recurrent networks of Li et al. 2018: the adding problem, and MNIST pixel by pixel."""

from __future__ import annotations

from deeprnn_keras import Recipe
from deeprnn_keras._types import Config
from deeprnn_keras.training import StepDecay
from deeprnn_keras.zoo.classification import PIXEL_MODEL
from deeprnn_keras.zoo.registry import register
from deeprnn_keras.zoo.sequence_model import SequenceModelConfig

LI_2018: Config = {
    "paper": "Li, Li, Cook, Zhu & Gao 2018, Independently Recurrent Neural Network (IndRNN)",
    "url": "https://arxiv.org/abs/1803.04831",
}

register(
    SequenceModelConfig(
        name="adding_indrnn_2x128",
        params=17_281,
        title="Adding problem with an IndRNN: sum of 2 marked numbers in a sequence of 200",
        task="regression",
        corpus="adding_stream",
        data="generated for every batch: a random number and a marker at each of 200 steps; the target is the sum of "
        "the 2 marked numbers",
        inputs=2,
        outputs=1,
        kind="numbers",
        length=200,
        units=128,
        num_layers=2,
        cell={"name": "indrnn", "steps": 200},
        recipe=Recipe("adam", 2e-4, StepDecay(0.1, (20, 40)), batch_size=50, bptt=200, epochs=15),
        weights_dtype="float32",  # recurrent weights act 200 times: rounding to float16 gives an MSE of 0.0056
        published="no number, only learning curves, which converge at 1,000 and 5,000 steps",
        differs="The source trains for more updates, on 100 to 5,000 steps. The recurrent weights are initialized "
        "uniformly in [0, 2^(1/200)] and constrained to [-2^(1/200), 2^(1/200)], as in the source.",
        **LI_2018,
    ),
    SequenceModelConfig(
        name="indrnn_seq_mnist",
        params=87_946,
        title="IndRNN with batch normalization, pixels",
        units=128,
        num_layers=6,
        cell=({"name": "indrnn", "steps": 784},) * 5 + ("indrnn",),
        batch_normalization=True,
        dropout=0.1,
        recipe=Recipe(
            "adam",
            2e-4,
            StepDecay(0.1, (320,)),
            clipvalue=10.0,
            weight_decay=1e-4,
            batch_size=32,
            bptt=784,
            epochs=640,
        ),
        limits="Training takes days on a CPU.",
        published="accuracy 99.0% (permuted pixels 96.0%)",
        differs="The count includes the moving means and variances of the 6 batch normalizations, 1,536 numbers that "
        "are not trained. The recurrent weights of the last layer start at 1, where the source draws them close to 1, "
        "and are not bounded. 320 epochs correspond to the 600,000 updates after which the source divides the learning "
        "rate by 10; their total number was chosen by this project.",
        **{**PIXEL_MODEL, **LI_2018},
    ),
)
