"""The description of a training by which a resumed one is compared."""

import keras
import numpy as np
import pytest

from deeprnn_keras import ArrayDataset
from deeprnn_keras.training.run_description import describe_run, differences


def described(loss, units=2):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(units)])
    model.compile("sgd", loss)
    data = ArrayDataset(np.ones((4, 1)), np.ones((4, 1)), 2, seed=0)
    return describe_run(model, data, [], {"epochs": 1, "steps": 2}, {"mine": 7})


LOSSES = {"function": lambda y, z: abs(y - z), "object": [keras.losses.MeanSquaredError()], "name": "mse"}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_description_of_a_loss_is_process_independent(loss):
    """Nothing in the description holds an address."""
    assert " at 0x" not in str(described(loss)) and described(loss)["loss"]


def test_equal_models_have_equal_descriptions_and_differences_are_named():
    """Keras counts names up: dense, dense_1."""
    assert differences(described("mse"), described("mse")) == []
    found = differences(described("mse"), described("mae", units=3))
    assert any(text.endswith("units: 2 there, 3 here") for text in found)
    assert "loss: 'mse' there, 'mae' here" in found and len(found) == 3, "units, shapes of weights, loss"


class Scaled(keras.layers.Layer):
    """Without a get_config: Keras does not know its argument."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def call(self, x):
        return self.by * x


class Shifted(Scaled):
    """Another one of that kind."""


def test_classes_without_config_are_compared_by_name():
    def of(layer):
        model = keras.Sequential([keras.Input((1,)), layer, keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        data = ArrayDataset(np.ones((4, 1)), np.ones((4, 1)), 2, seed=0)
        return describe_run(model, data, [], {"epochs": 1, "steps": 2}, {})

    assert differences(of(Scaled(2)), of(Scaled(2))) == []
    assert any("(Scaled)" in text for text in differences(of(Scaled(2)), of(Shifted(2))))
