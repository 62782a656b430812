"""The same step again and again, on a machine that is busy with other things: the same numbers to the last digits."""

import threading

import keras
import numpy as np
import pytest

from deeprnn_keras import DeepRNN


@pytest.fixture
def busy_machine():
    """Three threads that multiply matrices."""
    done = threading.Event()

    def work():
        matrix = np.random.default_rng(0).normal(size=(400, 400))
        while not done.is_set():
            matrix @ matrix

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield
    done.set()
    for thread in threads:
        thread.join()


@pytest.mark.long
@pytest.mark.parametrize("options", [{"cell": "gru", "bidirectional": True}, {"cell": ["lstm", "rhn"]}], ids=str)
def test_an_update_is_the_same_a_thousand_times(rng, busy_machine, options):
    """An optimizer that wrote a weight which a gradient was still reading made one in some thousands differ."""
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
