"""The order of examples in `fit`: the trap of Keras on arrays, the warning, and what does not fall into it."""

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
    """A process in which nobody has set a seed."""
    tf.random.set_seed(None)
    yield
    keras.utils.set_random_seed(0)


class Order(keras.layers.Layer):
    """Hands x on, and notes it."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def call(self, x):
        if not isinstance(x, keras.KerasTensor):
            self.seen += np.ravel(x).tolist()
        return x


def orders(data, epochs=3, callbacks=(), **fit):
    """The order of the examples in each epoch."""
    order = Order()
    model = keras.Sequential([keras.Input((1,)), order, keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    order.seen.clear()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="fit shuffles NumPy arrays")
        model.fit(*data, epochs=epochs, verbose=0, callbacks=list(callbacks), **fit)
    return np.reshape(order.seen[-epochs * len(X) :], (epochs, len(X))).tolist()


def test_keras_repeats_one_order_on_arrays_once_it_is_seeded():
    keras.utils.set_random_seed(3)
    first, *others = orders((X, X), batch_size=4)
    assert sorted(first) == X.ravel().tolist() != first and others == [first, first]


def test_array_dataset_is_reshuffled():
    keras.utils.set_random_seed(3)
    found = orders([ArrayDataset(X, X, 4)], shuffle=False, callbacks=[NonFiniteGuard()])
    assert all(sorted(order) == X.ravel().tolist() for order in found)
    assert found[0] != found[1] != found[2] != found[0]
    keras.utils.set_random_seed(3)
    assert orders([ArrayDataset(X, X, 4)], shuffle=False) == found


@pytest.mark.parametrize("make", [NonFiniteGuard, lambda: LearningRate(0.01)], ids=["guard", "rate"])
def test_our_callbacks_warn_of_a_repeated_order(make):
    keras.utils.set_random_seed(3)
    with pytest.raises(UserWarning, match=r"same order in every epoch .*Give fit an ArrayDataset\(x, y, batch_size"):
        orders((X, X), batch_size=4, callbacks=[make()])
    orders((X, X), batch_size=4, callbacks=[make()], shuffle=False)


def test_no_warning_without_a_seed(unseeded):
    first, *others = orders((X, X), batch_size=4, callbacks=[NonFiniteGuard()])
    assert others != [first, first]
