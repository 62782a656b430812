"""`NonFiniteGuard` with NaN in the data, the weights, and the validation loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras import DeepRNN
from deeprnn_keras.optimizers import GuardedAdam, GuardedSGD
from deeprnn_keras.training import NonFiniteGuard

pytestmark = pytest.mark.usefixtures("eager")

N, T, D = 4, 3, 2


def data(bad=(), batches=6):
    """Return the arrays of batches of 4 sequences; the batches in `bad` contain a NaN."""
    x = np.random.default_rng(0).normal(size=(batches * N, T, D)).astype("float32")
    y = x.sum((1, 2))[:, None]
    for number in bad:
        x[number * N] = np.nan
    return x, y


def fitted(x, y, optimizer, action="stop", validation=None, epochs=1, **layer):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((T, D)), DeepRNN(3, 2, "gru", implementation="loop", **layer), keras.layers.Dense(1)]
    )
    model.compile(optimizer, "mse")
    guard = NonFiniteGuard(every=2, action=action)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(N)  # `ArrayDataset` refuses NaN
    options = {"epochs": epochs, "callbacks": [guard], "validation_data": validation, "shuffle": False, "verbose": 0}
    return model, guard, model.fit(batches, **options).history


def test_advice_names_the_update_and_the_cause():
    model, guard, _ = fitted(*data(bad=[3]), GuardedSGD(0.1))
    assert "the loss was not finite at update 4" in guard.advice
    assert "the inputs contain NaN or infinity" in guard.advice and "/forward_1/" in guard.advice
    good, _, _ = fitted(*(part[: 3 * N] for part in data()), GuardedSGD(0.1))
    start, _, _ = fitted(*(part[:N] for part in data()), GuardedSGD(1e-30))
    restored = model.get_weights()[0]
    assert any(np.allclose(restored, one.get_weights()[0], atol=1e-6) for one in (good, start))
    assert int(model.optimizer.applied) == 3 and int(model.optimizer.skipped) == 1


@pytest.mark.slow
@pytest.mark.parametrize("stateful", [False, True])
def test_skip_equals_training_without_the_batch(stateful):
    """With stateful=True, a NaN would persist in the carried state."""
    tf.config.run_functions_eagerly(not stateful)  # the fixture resets it
    model, guard, history = fitted(*data(bad=[3]), GuardedSGD(0.1), "skip", stateful=stateful)
    assert guard.skipped == [4] and guard.advice is None and np.isfinite(history["loss"]).all()
    assert int(model.optimizer.applied) == 5
    if not stateful:
        x, y = data()
        rest = np.r_[: 3 * N, 4 * N : 6 * N]
        other, _, _ = fitted(x[rest], y[rest], GuardedSGD(0.1))
        for one, wanted in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(one, wanted, atol=1e-6)


def test_ten_skipped_updates_in_a_row_stop():
    _, guard, _ = fitted(*data(bad=range(1, 14), batches=15), GuardedSGD(0.1), "skip")
    assert guard.skipped == list(range(2, 11)) and "at update 11" in guard.advice


@pytest.mark.parametrize("action", ["stop", "skip"])
def test_infinite_weights_are_restored(action):
    model, guard, _ = fitted(*data(), GuardedSGD(3e38), action)
    assert "earlier updates made the weight" in guard.advice and "non-finite" in guard.advice
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_only_guarded_optimizers_support_skip():
    _, guard, _ = fitted(*data(bad=[2]), keras.optimizers.SGD(0.1))
    assert "at update 3" in guard.advice
    with pytest.raises(ValueError, match=r"action='skip' needs an optimizer with a GradientGuard.*got SGD"):
        fitted(*data(), keras.optimizers.SGD(0.1), "skip")
    with pytest.raises(ValueError, match="unknown action 'stopp'; did you mean 'stop'"):
        NonFiniteGuard(action="stopp")


def test_non_finite_validation_stops():
    _, guard, history = fitted(*data(), GuardedAdam(0.01), validation=data(bad=[0]), epochs=3)
    assert guard.advice is not None and len(history["loss"]) == 1
