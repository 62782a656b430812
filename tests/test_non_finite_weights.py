"""`NonFiniteGuard` restores the last good weights after the weights became NaN."""

import keras
import numpy as np
import pytest

from deeprnn_keras import ArrayDataset, DeepRNN
from deeprnn_keras.training import NonFiniteGuard


class SetWeightsToNaN(keras.callbacks.Callback):
    """Record the weights after each update, and set them to NaN after update number `at`."""

    def __init__(self, at):
        super().__init__()
        self.at, self.history = at, []

    def on_train_batch_end(self, batch, logs=None):
        self.history.append(self.model.get_weights()[0])
        if len(self.history) == self.at:
            self.model.set_weights([np.full_like(w, np.nan) for w in self.model.get_weights()])


@pytest.mark.parametrize("at", [1, 9, 11])
def test_guard_restores_the_last_good_weights(at):
    """At update 9 the guard stores weights that are NaN, before any loss is computed with them."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((3, 2)), DeepRNN(3, implementation="loop"), keras.layers.Dense(1)]
    model, nan_weights, guard = keras.Sequential(layers), SetWeightsToNaN(at), NonFiniteGuard(every=3)
    model.compile("adam", "mse", run_eagerly=True)
    x = np.random.default_rng(0).normal(size=(30, 3, 2)).astype("float32")
    good = [model.get_weights()[0]]
    model.fit(ArrayDataset(x, x.sum((1, 2)), 2), callbacks=[nan_weights, guard], verbose=0, shuffle=False)
    good += nan_weights.history[:at]
    assert f"at update {at + 1}" in guard.advice and len(nan_weights.history) == at + 1
    updates = [k for k, weights in enumerate(good) if np.array_equal(weights, model.get_weights()[0])]
    assert updates and at - 2 * guard.every <= updates[0], "at most two intervals are lost"
