"""Repeated updates with the same data give the same weights, also under load."""

import threading

import keras
import numpy as np
import pytest

from deeprnn_keras import DeepRNN


@pytest.fixture
def busy_machine():
    """Multiply matrices in three threads during the test."""
    stop = threading.Event()

    def multiply():
        matrix = np.random.default_rng(0).normal(size=(400, 400))
        while not stop.is_set():
            matrix @ matrix

    threads = [threading.Thread(target=multiply) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


@pytest.mark.long
@pytest.mark.parametrize("options", [{"cell": "gru", "bidirectional": True}, {"cell": ["lstm", "rhn"]}], ids=str)
def test_update_repeated_1000_times_is_the_same(rng, busy_machine, options):
    """Regression: the optimizer wrote a weight that a gradient still read, in one of several thousand updates."""
    model = keras.Sequential([keras.Input((4, 3)), DeepRNN(3, 2, **options), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = rng.normal(size=(4, 4, 3)).astype("float32"), rng.normal(size=(4, 1)).astype("float32")
    start, first = [weight.copy() for weight in model.get_weights()], None
    for _ in range(1000):
        model.set_weights(start)
        model.train_on_batch(x, y)
        weights = np.concatenate([weight.ravel() for weight in model.get_weights()])
        first = weights if first is None else first
        np.testing.assert_allclose(weights, first, atol=1e-6)
