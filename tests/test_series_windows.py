"""`series_windows` compared with NumPy, and rejected arguments."""

import keras
import numpy as np
import pytest

from deeprnn_keras import DeepRNN, Resume, series_windows, token_windows

VALUES = np.random.default_rng(0).normal(size=(20, 2))
LABELS = np.arange(20) % 3


def numpy_windows(series, targets, length, horizon, stride):
    """Return all windows in order: x (N, length, d), y (N, horizon, q)."""
    x, y = [], []
    for values, labels in zip(series, targets, strict=True):
        for start in range(0, len(values) - length - horizon + 1, stride):
            x.append(values[start : start + length])
            y.append(labels[start + length : start + length + horizon])
    return np.array(x, "float32"), np.array(y, "float32")


def read(batches):
    """Return x and y of all batches of an epoch as two arrays."""
    return tuple(np.concatenate(part) for part in zip(*((x.numpy(), y.numpy()) for x, y in batches), strict=True))


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("labeled", [False, True])
def test_windows_of_one_series(horizon, stride, labeled):
    options = {"targets": LABELS} if labeled else {}
    batches = series_windows(VALUES, 5, 3, horizon=horizon, stride=stride, shuffle=False, **options)
    targets = LABELS[:, None] if labeled else VALUES
    x, y = numpy_windows([VALUES], [targets], 5, horizon, stride)
    actual_x, actual_y = read(batches)
    np.testing.assert_array_equal(actual_x, x)
    np.testing.assert_array_equal(actual_y, y)
    assert actual_x.dtype == actual_y.dtype == np.float32 and len(batches) == -(-len(x) // 3)


def test_windows_do_not_cross_series():
    series = [VALUES[:8], VALUES[8:10], VALUES[10:]]  # the second is too short for a window
    batches = series_windows(series, 3, 4, horizon=2, shuffle=False)
    for actual, expected in zip(read(batches), numpy_windows(series, series, 3, 2, 1), strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("values", [np.arange(6), list(range(6)), np.arange(6.0)[:, None]], ids=["int", "list", "2d"])
def test_series_of_one_feature(values):
    x, y = read(series_windows(values, 4, 2, shuffle=False))
    assert x.tolist() == [[[0], [1], [2], [3]], [[1], [2], [3], [4]]] and y.tolist() == [[[4]], [[5]]]


def test_every_epoch_reads_all_windows_in_a_new_order():
    batches = series_windows(VALUES, 5, 4, seed=1)
    first, second = read(batches)[0], read(batches)[0]
    ordered = numpy_windows([VALUES], [VALUES], 5, 1, 1)[0]
    assert np.any(first != second)
    for epoch in (first, second):
        np.testing.assert_array_equal(epoch[np.argsort(epoch[:, 0, 0])], ordered[np.argsort(ordered[:, 0, 0])])
    batches.set_position(1, 2)
    np.testing.assert_array_equal(read(batches)[0], second[8:])


def test_resume_rejects_windows_with_another_horizon(tmp_path):
    model = keras.Sequential([keras.Input((5, 2)), DeepRNN(3), keras.layers.Dense(2), keras.layers.Reshape((1, 2))])
    model.compile("adam", "mse")
    data = series_windows(VALUES, 5, 4, seed=0)
    model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[Resume(tmp_path / "run", data)])
    other = series_windows(VALUES, 5, 4, horizon=2, seed=0)
    with pytest.raises(ValueError, match="horizon"):
        model.fit(other, epochs=1, shuffle=False, verbose=0, callbacks=[Resume(tmp_path / "run", other)])


@pytest.mark.parametrize(
    ("values", "options", "error", "message"),
    [
        ([1.0, np.nan, 2.0], {}, ValueError, r"values must be finite, got nan at step 1; fill or drop"),
        (
            np.array([[1, 2], [3, np.inf]]),
            {},
            ValueError,
            r"values must be finite, got inf at step 1, feature 1",
        ),
        (
            [VALUES, VALUES * np.nan],
            {},
            ValueError,
            r"values\[1\] must be finite, got nan at step 0, feature 0",
        ),
        (["a", "b"], {}, TypeError, r"values must hold numbers, got <U1"),
        (np.ones((2, 3, 4)), {}, ValueError, r"values must have shape \(steps,\) or \(steps, features\), got \(2, 3"),
        ([VALUES, VALUES[:, :1]], {}, ValueError, r"the same number of features, got \[1, 2\]"),
        (
            VALUES,
            {"targets": LABELS[:-1]},
            ValueError,
            r"same number of steps as values .* got \[19\] steps for \[20\]",
        ),
        (
            VALUES,
            {"targets": [1.0] * 19 + [np.nan]},
            ValueError,
            r"targets must be finite, got nan at step 19",
        ),
        (
            VALUES[:5],
            {"horizon": 4},
            ValueError,
            r"at least 6 steps for length=2 and horizon=4, got at most 5 in 1 series",
        ),
        (VALUES, {"horizon": 0}, ValueError, r"horizon must be"),
        (VALUES, {"stride": 0}, ValueError, r"stride must be"),
    ],
)
def test_invalid_arguments_are_rejected(values, options, error, message):
    with pytest.raises(error, match=message):
        series_windows(values, 2, 2, **options)


@pytest.mark.parametrize("pieces", [[np.arange(9.0)], [np.arange(9), np.arange(9) / 2], [[0.5] * 9], [[True] * 9]])
def test_token_windows_reject_values_other_than_integers(pieces):
    with pytest.raises(TypeError, match=r"integer ids, got .*; use series_windows"):
        token_windows(pieces, 3, 2)
