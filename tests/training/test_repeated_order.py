"""Order of examples in `fit`: repeated by Keras for arrays, the warning, and `ArrayDataset`, which reshuffles."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras import ArrayDataset
from deeprnn_keras.training import LearningRate, NonFiniteGuard

X = np.arange(12.0)[:, None]


@pytest.fixture
def unseeded():
    """Unset the seed for one test."""
    tf.random.set_seed(None)
    yield
    keras.utils.set_random_seed(0)


class RecordInputs(keras.layers.Layer):
    """Identity layer that records its inputs."""

    def __init__(self):
        super().__init__()
        self.inputs = []

    def call(self, x):
        if not isinstance(x, keras.KerasTensor):
            self.inputs += np.ravel(x).tolist()
        return x


def orders(data, epochs=3, callbacks=(), **fit):
    """Return the order of the examples in each epoch."""
    layer = RecordInputs()
    model = keras.Sequential([keras.Input((1,)), layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    layer.inputs.clear()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="fit shuffles NumPy arrays")
        model.fit(*data, epochs=epochs, verbose=0, callbacks=list(callbacks), **fit)
    return np.reshape(layer.inputs[-epochs * len(X) :], (epochs, len(X))).tolist()


def test_keras_repeats_the_order_of_arrays_with_a_seed():
    keras.utils.set_random_seed(3)
    first, *others = orders((X, X), batch_size=4)
    assert sorted(first) == X.ravel().tolist() != first and others == [first, first]


def test_array_dataset_is_reshuffled():
    keras.utils.set_random_seed(3)
    first = orders([ArrayDataset(X, X, 4)], shuffle=False, callbacks=[NonFiniteGuard()])
    assert all(sorted(order) == X.ravel().tolist() for order in first)
    assert first[0] != first[1] != first[2] != first[0]
    keras.utils.set_random_seed(3)
    assert orders([ArrayDataset(X, X, 4)], shuffle=False) == first


@pytest.mark.parametrize("make", [NonFiniteGuard, lambda: LearningRate(0.01)], ids=["guard", "rate"])
def test_callbacks_warn_of_a_repeated_order(make):
    keras.utils.set_random_seed(3)
    with pytest.raises(UserWarning, match=r"same order in every epoch, .*Pass an ArrayDataset\(x, y, batch_size"):
        orders((X, X), batch_size=4, callbacks=[make()])
    orders((X, X), batch_size=4, callbacks=[make()], shuffle=False)


def test_no_warning_without_a_seed(unseeded):
    first, *others = orders((X, X), batch_size=4, callbacks=[NonFiniteGuard()])
    assert others != [first, first]
