"""Learning-rate range test: on problems with known stable learning rates, and restoring the model afterwards."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib import image

from deeprnn_keras import LanguageModel
from deeprnn_keras.training.range_report import RangeTestResult
from deeprnn_keras.training.range_test import learning_rate_range_test


def linear(optimizer=None, features=3):
    model = keras.Sequential([keras.Input((features,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(optimizer or keras.optimizers.SGD(0.1), "mse")
    return model


def regression(rng, n=64, features=3):
    x = rng.normal(size=(n, features)) * np.linspace(1, 3, features)
    return x.astype("float32"), (x @ np.arange(1.0, features + 1)[:, None]).astype("float32")


def dropout_model(optimizer):
    lstm, norm = keras.layers.LSTM(4, recurrent_dropout=0.2), keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((5, 3)), keras.layers.Dropout(0.5), lstm, norm, keras.layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def smooth(losses, share):
    running = [sum((1 - share) * share ** (k - j) * losses[j] for j in range(k + 1)) for k in range(len(losses))]
    return [value / (1 - share ** (k + 1)) for k, value in enumerate(running)]


def sequences(rng, n=32):
    return rng.normal(size=(n, 5, 3)).astype("float32"), rng.normal(size=(n, 1)).astype("float32")


# === Losses and the stopping rule ===


def test_quadratic_with_known_stable_rates(rng):
    """Full-batch gradient descent on the mean squared error diverges above 2 / λ_max of 2 x'x / n."""
    x, y = regression(rng)
    stable = 2 / np.linalg.eigvalsh(2 * x.T @ x / len(x)).max()
    report = learning_rate_range_test(linear(), [(x, y)])
    assert stable / 1000 < report.suggestion < stable
    assert stable < report.diverged_at < 10 and report.diverged_at == report.rates[-1]
    assert report.suggestion <= report.minimum[0] / 10
    below = learning_rate_range_test(linear(), [(x, y)], high=stable)
    assert below.diverged_at is None and len(below.rates) == 100


def test_rates_losses_and_smoothing_equal_numpy(rng):
    """NumPy runs gradient descent with the same learning rates."""
    x, y = regression(rng)
    model = linear()
    weights, losses = model.get_weights()[0].astype("float64"), []
    report = learning_rate_range_test(model, [(x, y)], low=1e-4, high=1e-2, updates=12, smoothing=0.8)
    rates = [1e-4 * 100 ** (k / 11) for k in range(12)]
    for rate in rates:
        error = x @ weights - y
        losses.append(float(np.mean(error**2)))
        weights = weights - rate * 2 * x.T @ error / len(x)
    np.testing.assert_allclose(report.rates, rates, rtol=1e-12)
    np.testing.assert_allclose(report.losses, losses, rtol=1e-4)
    np.testing.assert_allclose(report.smoothed, smooth(losses, 0.8), rtol=1e-4)
    assert report.diverged_at is None and report.smoothing == 0.8


def test_sample_weights_are_applied(rng):
    (x, y), model, weights = regression(rng), linear(), np.repeat([0.0, 2.0], 32)
    report = learning_rate_range_test(model, [(x, y, weights)], updates=10)
    assert report.losses[0] == pytest.approx(model.evaluate(x, y, sample_weight=weights, verbose=0), rel=1e-5)
    assert report.losses[0] != pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-2)


@pytest.mark.parametrize("kind", ["list", "dataset"])
def test_short_data_is_repeated(rng, kind):
    x, y = regression(rng)
    parts = [(x[:20], y[:20]), (x[20:], y[20:])]
    data = tf.data.Dataset.from_tensor_slices((x[:60], y[:60])).batch(20) if kind == "dataset" else parts
    report = learning_rate_range_test(linear(), data, low=1e-12, high=1e-11, updates=11)  # the weights hardly change
    period = 3 if kind == "dataset" else 2
    np.testing.assert_allclose(report.losses[period:], report.losses[:-period], rtol=1e-5)
    assert len(report.losses) == 11 and report.losses[0] != pytest.approx(report.losses[1], rel=1e-4)


def test_only_needed_batches_are_read(rng):
    batches = iter([regression(rng)] * 11)
    learning_rate_range_test(linear(), batches, high=1e-3, updates=10)
    assert len(list(batches)) == 1


def test_non_finite_loss_stops(rng):
    x, y = regression(rng)
    bad = x.copy()
    bad[0] = np.nan
    model = linear()
    before = model.get_weights()
    report = learning_rate_range_test(model, [(x, y)] * 12 + [(bad, y)], high=1e-3, updates=30)
    assert len(report.losses) == 13 and math.isnan(report.losses[-1]) and report.diverged_at == report.rates[-1]
    assert report.suggestion is None or math.isfinite(report.suggestion)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    immediate = learning_rate_range_test(model, [(bad, y)])
    assert len(immediate.losses) == 1 and immediate.suggestion is None and immediate.minimum is None
    assert "suggestion            none" in str(immediate)


def test_negative_loss_does_not_stop(rng):
    """A limit of 4 times the minimum would be below a negative minimum."""
    x, y = regression(rng)
    model = linear()
    model.compile(keras.optimizers.SGD(0.1), lambda true, predicted: (true - predicted) ** 2 - 1000.0)
    report = learning_rate_range_test(model, [(x, y)], high=1e-2, updates=20)
    assert len(report.losses) == 20 and max(report.losses) < 0


# === Restoring the model ===


def state(model):
    return [variable.numpy() for variable in [*model.variables, *model.optimizer.variables]]


def assert_same(got, expected):
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def recording(model, batch, states):
    """Yield the same batch indefinitely, and record the state of the model each time."""
    while True:
        states.append(np.concatenate([value.ravel() for value in state(model)]))
        yield batch


@pytest.mark.slow
def test_model_and_optimizer_are_restored(rng):
    """With float16, the loss scale is restored too; `test_later_training_is_unchanged` uses float32."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = dropout_model(keras.optimizers.Adam(0.01))
    finally:
        keras.config.set_dtype_policy("float32")
    x, y = sequences(rng)
    model.fit(x, y, epochs=2, verbose=0)
    before = state(model)
    seeds = [variable for variable in model.variables if "seed" in variable.path]
    assert len(seeds) >= 2 and any(value.any() for value in before[-4:])  # seeds and Adam's slot variables
    states = []
    report = learning_rate_range_test(model, recording(model, (x, y), states), updates=20)
    assert len(report.losses) > 10 and not np.array_equal(states[0], states[-1])
    assert_same(state(model), before)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01) and int(model.optimizer.iterations) == 2
    assert all(float(metric.total) == 0 for metric in model.metrics if hasattr(metric, "total"))


@pytest.mark.slow
def test_later_training_is_unchanged(rng):
    x, y = sequences(rng)
    losses = []
    for tested in (False, True):
        keras.utils.set_random_seed(3)
        model = dropout_model(keras.optimizers.Adam(0.01))
        if tested:
            learning_rate_range_test(model, [(x, y)], updates=15)
        losses.append(model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False).history["loss"])
    assert losses[0] == losses[1]


def test_language_model_is_restored(rng):
    model = LanguageModel("abcd", units=6, num_layers=2, dropout=0.3, embedding=4, implementation="loop")
    model.compile("adam", model.loss_function())
    before = [variable.numpy() for variable in model.variables]
    ids = rng.integers(0, 4, size=(8, 6))
    report = learning_rate_range_test(model, [(ids[:, :-1], ids[:, 1:])], updates=40)
    assert report.suggestion is not None
    assert_same([variable.numpy() for variable in model.variables], before)
    assert int(model.optimizer.iterations) == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_test_restores_the_model(rng, error):
    x, y = regression(rng)
    model = linear(keras.optimizers.Adam(0.01))
    model.fit(x, y, verbose=0)
    before = state(model)

    def interrupted():
        for _ in range(5):
            yield x, y
        raise error

    with pytest.raises(error):
        learning_rate_range_test(model, interrupted(), low=0.1)
    assert_same(state(model), before)


# === Report ===


def report_of(smoothed, diverged_at=None, low=1e-4, high=1.0):
    rates = np.geomspace(low, high, len(smoothed)).tolist()
    return RangeTestResult(rates, list(smoothed), list(smoothed), diverged_at)


def test_suggestion_is_at_the_steepest_fall():
    """41 learning rates over 4 decades, the steepest fall at index 12, and the minimum at index 30."""
    index = np.arange(41)
    losses = 3 - np.tanh((index - 12) / 4) + np.where(index > 30, 0.1 * (index - 30), 0)
    report = report_of(losses)
    assert report.suggestion == pytest.approx(report.rates[12]) and report.minimum[0] == report.rates[30]
    assert str(report).splitlines()[-1] == f"suggestion            {report.rates[12]:.2g}"


def test_suggestion_is_at_most_a_tenth_of_the_minimum():
    """The fall is steepest just before the minimum at index 30, as in a smoothed curve that lags."""
    index = np.arange(41)
    report = report_of(np.where(index <= 30, 3 - (index / 30) ** 4, 2 + 0.1 * (index - 30)))
    assert report.suggestion == pytest.approx(report.rates[30] / 10)


def test_rising_loss_gives_no_suggestion():
    report = report_of(np.linspace(1, 3.9, 40) ** 2, diverged_at=1.0)
    assert report.suggestion is None and "the loss did not fall by more than its noise; decrease low" in str(report)


def test_noise_gives_no_suggestion(rng):
    rates = np.geomspace(1e-6, 10, 100).tolist()
    losses = (2 + 0.1 * rng.normal(size=(50, 100))).tolist()
    without = [
        report for row in losses if not (report := RangeTestResult(rates, row, smooth(row, 0.9), None)).suggestion
    ]
    assert len(without) >= 46 and "increase high" in str(without[0])


def test_advice_for_an_unsuitable_range():
    assert "below the tested range; decrease low" in str(report_of(3 - np.tanh(np.arange(30) / 20), low=0.5))
    assert "still falling at the end; increase high" in str(report_of(3 - np.linspace(0, 1, 30) ** 2))
    assert "divergence            at 0.5" in str(report_of(np.linspace(3, 1, 30), diverged_at=0.5))


@pytest.mark.parametrize("case", ["fall", "rise", "nan"])
@pytest.mark.filterwarnings("error")
def test_plot(tmp_path, case):
    fall = np.linspace(3, 1, 30)
    report = {
        "fall": report_of([*fall, 4.5], diverged_at=1.0),
        "rise": report_of([1.0, 40.0], diverged_at=1.0),
        "nan": report_of([math.nan], diverged_at=1e-4),
    }[case]
    path = report.plot(tmp_path / "range.png", title="a title")
    assert path == tmp_path / "range.png" and [file.name for file in tmp_path.iterdir()] == ["range.png"]
    pixels = image.imread(path)
    assert pixels.shape[:2] == (540, 960) and np.std(pixels) > 0.05


# === Errors ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 1.0, "high": 0.1}, "low must be less than high, got low=1 and high=0.1"),
        ({"low": 0.0}, "low must be a positive number, got 0.0"),
        ({"high": math.inf}, "high must be a positive number, got inf"),
        ({"updates": 9}, "updates must be at least 10 .* got 9"),
        ({"smoothing": 1.0}, r"smoothing must be a number in \[0, 1\)"),
        ({"data": []}, "data must hold at least one batch, got none"),
        ({"data": [np.ones((2, 3))]}, r"data must consist of batches .*, got an element of type ndarray"),
        ({"data": [(np.ones((2, 3)),)]}, r"data must consist of batches .*, got a tuple of length 1"),
        (
            {"data": iter([(np.ones((2, 3)), np.ones((2, 1)))] * 4)},
            "data ended after 4 batches and does not support a second iteration",
        ),
    ],
)
def test_unsupported_arguments(rng, arguments, message):
    model = linear()
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        learning_rate_range_test(model, **{"data": [regression(rng)], **arguments})
    assert_same(model.get_weights(), before)


def test_unsupported_models(rng):
    data = [regression(rng)]
    with pytest.raises(ValueError, match="is not compiled; compile it first"):
        learning_rate_range_test(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]), data)
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    unbuilt.compile("sgd", "mse")
    with pytest.raises(ValueError, match="is not built"):
        learning_rate_range_test(unbuilt, data)
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    with pytest.raises(ValueError, match=r"has an optimizer with a learning-rate schedule, which is not supported"):
        learning_rate_range_test(linear(keras.optimizers.SGD(decay)), data)
