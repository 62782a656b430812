"""Description of a run, which is compared with that of the interrupted run when resuming."""

import keras
import numpy as np
import pytest

from deeprnn_keras import LSTM, ArrayDataset
from deeprnn_keras.kernels.native import library
from deeprnn_keras.training.run_description import describe_rounding, describe_run, differences


def description(loss, units=2):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(units)])
    model.compile("sgd", loss)
    data = ArrayDataset(np.ones((4, 1)), np.ones((4, 1)), 2, seed=0)
    return describe_run(model, data, [], {"epochs": 1, "steps": 2}, {"mine": 7})


LOSSES = {"function": lambda y, z: abs(y - z), "object": [keras.losses.MeanSquaredError()], "name": "mse"}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_description_of_a_loss_is_the_same_in_every_process(loss):
    """The description contains no memory address."""
    assert " at 0x" not in str(description(loss)) and description(loss)["loss"]


def test_differences_are_listed():
    """Names that Keras generates (dense, dense_1) are ignored."""
    assert differences(description("mse"), description("mse")) == []
    texts = differences(description("mse"), description("mae", units=3))
    assert any(text.endswith("units: 2 before, 3 now") for text in texts)
    assert "loss: 'mse' before, 'mae' now" in texts and len(texts) == 3, "units, weight shapes, and loss"


class Scaled(keras.layers.Layer):
    """Layer without get_config, so that Keras does not know its argument."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def call(self, x):
        return self.by * x


class Shifted(Scaled):
    """Another layer without get_config."""


def test_classes_without_config_are_compared_by_name():
    def describe(layer):
        model = keras.Sequential([keras.Input((1,)), layer, keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        data = ArrayDataset(np.ones((4, 1)), np.ones((4, 1)), 2, seed=0)
        return describe_run(model, data, [], {"epochs": 1, "steps": 2}, {})

    assert differences(describe(Scaled(2)), describe(Scaled(2))) == []
    assert any("(Scaled)" in text for text in differences(describe(Scaled(2)), describe(Shifted(2))))


NATIVE = "xla" if library.unavailable_reason() else f"native/{library.describe()['instruction_set']}"


@pytest.mark.parametrize(
    ("implementations", "jit_compile", "expected"),
    [
        (["auto", "auto"], False, NATIVE),
        (["auto"], True, "xla"),
        (["loop", "xla"], False, "loop xla"),
        ([], False, None),
    ],
)
def test_implementations_of_recurrent_layers_are_described(implementations, jit_compile, expected):
    layers = [LSTM(1, return_sequences=True, implementation=implementation) for implementation in implementations]
    model = keras.Sequential([keras.Input((2, 1)), *layers, keras.layers.LSTM(1)])
    model.compile("sgd", "mse", jit_compile=jit_compile)
    described = describe_rounding(model)
    assert described.get("recurrent layers") == expected and {"deeprnn-keras", "keras"} <= described.keys()
