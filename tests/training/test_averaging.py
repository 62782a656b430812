"""NT-ASGD: the trigger, the averages, and the weights that the model holds during and after `fit`."""

import functools

import keras
import numpy as np
import pytest
from eagerly import eagerly

from deeprnn_keras.training.averaging import NTASGD

pytestmark = pytest.mark.usefixtures("eager")

# === Trigger ===


@functools.cache
def untrained():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def callback_after(losses, nonmono):
    """Return a callback that received these validation losses; its model is not trained."""
    averaging = NTASGD(nonmono)
    averaging.set_model(untrained())
    averaging.on_train_begin()
    for epoch, loss in enumerate(losses):
        averaging.on_epoch_end(epoch, {"loss": 0.0, "val_loss": loss})
    return averaging


def published_trigger(losses, nonmono):
    """Return the epoch at which main.py of salesforce/awd-lstm-lm triggers, or None."""
    best_val_loss = []
    for epoch, val_loss in enumerate(losses):
        if len(best_val_loss) > nonmono and val_loss > min(best_val_loss[:-nonmono]):
            return epoch
        best_val_loss.append(val_loss)
    return None


@pytest.mark.parametrize(
    ("losses", "nonmono", "epoch"),
    [
        ([5, 4, 3, 2, 1], 1, None),  # decreases in every epoch
        ([5, 5, 5, 5, 5], 1, None),  # equal is not worse
        ([3, 4, 4, 4], 1, 2),  # epoch 1 is not compared, because its predecessor is left out
        ([3, 4, 4, 4], 2, 3),
        ([3, 4, 4, 4], 3, None),
        ([5, 4, 3, 3.5, 2.9, 3.1, 3.2], 2, 5),  # 3.1 > min(5, 4, 3)
        ([5, 4, 3, 6, 2.9, 2.8], 2, 3),  # 6 > 5
    ],
)
def test_trigger_epoch(losses, nonmono, epoch):
    averaging = callback_after(losses, nonmono)
    assert averaging.triggered_at == epoch == published_trigger(losses, nonmono)
    assert averaging.losses == losses and averaging.count == 0 and not averaging.averaged


def test_trigger_equals_published_code(rng):
    triggered = set()
    for _ in range(30):
        losses, nonmono = list(rng.normal(size=12).cumsum() - np.arange(12) / 2), int(rng.integers(1, 6))
        triggered.add(callback_after(losses, nonmono).triggered_at)
        assert callback_after(losses, nonmono).triggered_at == published_trigger(losses, nonmono)
    assert None in triggered and len(triggered) > 4


# === In `fit` ===

EPOCHS, BATCHES = 8, 5


def values(variables):
    return [variable.value.numpy() for variable in variables]


class WeightHistory(keras.callbacks.Callback):
    """Trainable weights after each update, and at the end of each epoch."""

    def __init__(self, averaging=None):
        super().__init__()
        self.averaging, self.raw, self.epoch_end, self.counts = averaging, [], [], []

    def weights(self):
        return values(self.model.trainable_variables)

    def on_train_batch_end(self, batch, logs=None):
        self.raw.append(self.weights())

    def on_epoch_end(self, epoch, logs=None):
        self.epoch_end.append(self.weights())
        self.counts.append(self.averaging.count if self.averaging else None)


def data():
    rng = np.random.default_rng(3)
    return rng.normal(size=(40, 4)).astype("float32"), rng.normal(size=(40, 1)).astype("float32")


def fitted(averaging=None, callbacks=(), epochs=EPOCHS, **options):
    """Return a small model, its weight history, and its logs. The learning rate is so high that the loss fluctuates."""
    keras.utils.set_random_seed(1)
    x, y = data()
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(6, "tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    weights = WeightHistory(averaging)
    history = model.fit(
        x[:30],
        y[:30],
        batch_size=30 // BATCHES,
        epochs=epochs,
        verbose=0,
        callbacks=[*([averaging] if averaging else []), *callbacks, weights],
        **{"validation_data": (x[30:], y[30:]), **options},
    )
    return model, weights, history.history


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    averaging = NTASGD(nonmono=1)
    path = tmp_path_factory.mktemp("run") / "{epoch}.keras"
    with eagerly():
        return averaging, path, *fitted(averaging, [keras.callbacks.ModelCheckpoint(path)])


def mean_of(history, first, last):
    """Return the means of the weights after updates first, ..., last - 1, computed with NumPy."""
    return [np.mean(np.array(parts, "float64"), axis=0) for parts in zip(*history.raw[first:last], strict=True)]


def assert_close(got, expected):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_trigger_follows_the_losses_of_the_logs(run):
    averaging, _, _, _, history = run
    assert averaging.losses == history["val_loss"]
    assert averaging.triggered_at == published_trigger(history["val_loss"], 1)
    assert 0 < averaging.triggered_at < EPOCHS - 3  # so that there are epochs before and after it


def test_model_holds_the_mean_of_all_updates_since_the_trigger(run):
    averaging, _, _, weights, _ = run
    start = (averaging.triggered_at + 1) * BATCHES
    for epoch, held in enumerate(weights.epoch_end):
        end = (epoch + 1) * BATCHES
        assert weights.counts[epoch] == max(end - start, 0)
        assert_close(held, mean_of(weights, start, end) if end > start else weights.raw[end - 1])


@pytest.mark.slow
def test_training_continues_with_the_raw_weights(run):
    _, plain, _ = fitted()
    assert len(plain.raw) == EPOCHS * BATCHES
    for one, other in zip(run[3].raw, plain.raw, strict=True):
        for got, expected in zip(one, other, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_validated_weights_are_the_saved_weights(run):
    averaging, path, _, weights, history = run
    x, y = data()
    for epoch in (averaging.triggered_at, averaging.triggered_at + 1, EPOCHS - 1):
        saved = keras.saving.load_model(str(path).format(epoch=epoch + 1))
        assert saved.evaluate(x[30:], y[30:], verbose=0) == pytest.approx(history["val_loss"][epoch], rel=1e-6)
        assert_close(values(saved.trainable_variables), weights.epoch_end[epoch])


def test_averages_remain_after_fit(run):
    averaging, _, model, weights, history = run
    x, y = data()
    assert averaging.averaged and averaging.count == (EPOCHS - 1 - averaging.triggered_at) * BATCHES
    assert model.evaluate(x[30:], y[30:], verbose=0) == pytest.approx(history["val_loss"][-1], rel=1e-6)
    assert_close(values(model.trainable_variables), weights.epoch_end[-1])
    assert_close(values(averaging.raw), weights.raw[-1])
    assert not {id(variable) for variable in model.variables} & {id(own) for own in averaging.averages + averaging.raw}


@pytest.mark.slow
def test_untriggered_run_is_unchanged():
    averaging = NTASGD(nonmono=EPOCHS)
    model, weights, _ = fitted(averaging)
    assert averaging.triggered_at is None and averaging.count == 0 and not averaging.averaged
    assert_close(values(model.trainable_variables), weights.raw[-1])


def test_trigger_in_the_last_epoch_leaves_the_raw_weights(run):
    averaging = NTASGD(nonmono=1)
    model, weights, _ = fitted(averaging, epochs=run[0].triggered_at + 1)
    assert averaging.triggered_at == run[0].triggered_at and averaging.count == 0 and not averaging.averaged
    assert_close(values(model.trainable_variables), weights.raw[-1])


@pytest.mark.slow
def test_restored_state_continues_bit_identically():
    """The run is interrupted one epoch after the trigger and resumed with another callback."""

    class CopyState(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            for name in ("losses", "triggered_at", "count", "averaged"):
                setattr(second, name, getattr(first, name))
            for name in ("averages", "raw"):
                for old, new in zip(getattr(first, name), getattr(second, name), strict=True):
                    new.assign(old)

    first, second = NTASGD(nonmono=1), NTASGD(nonmono=1)
    epochs_before, (x, y) = 3, data()
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.3), "mse")
    start = model.get_weights()
    options = {"batch_size": 8, "shuffle": False, "verbose": 0, "validation_data": (x[30:], y[30:])}

    def trigger(averaging, epoch):
        """Return a callback that triggers averaging at the end of an epoch, regardless of the losses."""
        return keras.callbacks.LambdaCallback(
            on_epoch_end=lambda e, logs: setattr(averaging, "triggered_at", epoch) if e == epoch else None
        )

    whole = NTASGD(nonmono=50)
    model.fit(x, y, epochs=epochs_before + 3, callbacks=[whole, trigger(whole, epochs_before - 2)], **options)
    expected = model.get_weights()
    model.set_weights(start)
    model.fit(x, y, epochs=epochs_before, callbacks=[first, trigger(first, epochs_before - 2)], **options)
    assert first.averaged and first.count > 0
    model.fit(x, y, initial_epoch=epochs_before, epochs=epochs_before + 3, callbacks=[second, CopyState()], **options)
    assert second.count == whole.count and len(second.losses) == len(whole.losses)
    for got, wanted in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.slow
def test_each_fit_resets_the_callback():
    averaging = NTASGD(nonmono=1)
    model, _, _ = fitted(averaging)
    x, y = data()
    model.fit(x, y, validation_data=(x, y), epochs=1, verbose=0, callbacks=[averaging])
    assert len(averaging.losses) == 1 and averaging.triggered_at is None and averaging.count == 0


def test_on_train_end_assigns_averages_after_an_interruption(run):
    averaging = NTASGD(nonmono=1)
    start = (run[0].triggered_at + 1) * BATCHES

    class Interrupt(WeightHistory):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch)
            if len(self.raw) == start + 3:
                raise KeyboardInterrupt

    interrupt = Interrupt()
    with pytest.raises(KeyboardInterrupt):
        fitted(averaging, [interrupt])
    assert not averaging.averaged and averaging.count == 3
    assert_close(interrupt.weights(), interrupt.raw[-1])
    averaging.on_train_end()
    assert_close(interrupt.weights(), mean_of(interrupt, start, start + 3))


def test_bfloat16_weights_have_float32_means():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, dtype="bfloat16")])
    model.compile("sgd", "mse")
    averaging = NTASGD(nonmono=1)
    averaging.set_model(model)
    averaging.on_train_begin()
    averaging.triggered_at = 0
    for value in (1.0, 1.0, 1.0, 2.0):
        model.set_weights([np.full((2, 1), value), np.zeros(1)])
        averaging.on_train_batch_end(0)
    np.testing.assert_array_equal(values(averaging.averages)[0], np.full((2, 1), 1.25))
    averaging.on_train_end()
    assert float(model.trainable_variables[0][0, 0]) == 1.25


# === Errors ===


@pytest.mark.parametrize("nonmono", [0, -1, 2.5, True, "5"])
def test_nonmono_must_be_a_positive_integer(nonmono):
    with pytest.raises(ValueError, match="nonmono must be a positive integer"):
        NTASGD(nonmono)


def test_missing_monitor_is_an_error_after_the_first_epoch():
    with pytest.raises(ValueError, match=r"monitor 'val_loss' is not in the logs of epoch 1, .*\['loss'\]"):
        fitted(NTASGD(), validation_data=None)
    with pytest.raises(ValueError, match=r"monitor 'val_ppl' .*\['loss', 'val_loss'\]"):
        fitted(NTASGD(monitor="val_ppl"))


def test_steps_per_execution_must_be_1():
    x, y = data()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", steps_per_execution=2)
    with pytest.raises(ValueError, match=r"needs steps_per_execution=1 .*, got 2"):
        model.fit(x, y, validation_data=(x, y), verbose=0, callbacks=[NTASGD()])
