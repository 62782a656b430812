"""`NonFiniteGuard` restores the last good weights after weights became NaN."""

import keras
import numpy as np
import pytest

from deeprnn_keras import ArrayDataset, DeepRNN
from deeprnn_keras.training import NonFiniteGuard


class Poison(keras.callbacks.Callback):
    """Records the weights after each update, and makes them NaN after update number `at`."""

    def __init__(self, at):
        super().__init__()
        self.at, self.seen = at, []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(self.model.get_weights()[0])
        if len(self.seen) == self.at:
            self.model.set_weights([np.full_like(w, np.nan) for w in self.model.get_weights()])


@pytest.mark.parametrize("at", [1, 9, 11])
def test_guard_restores_the_last_good_weights(at):
    """At 9 it stores weights that are NaN, before a loss could tell."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((3, 2)), DeepRNN(3, implementation="loop"), keras.layers.Dense(1)]
    model, poison, guard = keras.Sequential(layers), Poison(at), NonFiniteGuard(every=3)
    model.compile("adam", "mse", run_eagerly=True)
    x = np.random.default_rng(0).normal(size=(30, 3, 2)).astype("float32")
    good = [model.get_weights()[0]]
    model.fit(ArrayDataset(x, x.sum((1, 2)), 2), callbacks=[poison, guard], verbose=0, shuffle=False)
    good += poison.seen[:at]
    assert f"at update {at + 1}" in guard.advice and len(poison.seen) == at + 1
    places = [k for k, weights in enumerate(good) if np.array_equal(weights, model.get_weights()[0])]
    assert places and at - 2 * guard.every <= places[0], "not lost: all but the last two intervals"
