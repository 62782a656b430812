"""`SeriesDataset`: missing values, covariates, and rejected arguments; `test_series_windows.py` covers the windows."""

import keras
import numpy as np
import pytest

from deeprnn_keras import DeepRNN, Resume, SeriesDataset, series_windows

RNG = np.random.default_rng(0)
VALUES = [RNG.normal(size=(12, 2)), RNG.normal(size=(9, 2))]
VALUES[0][3, 1] = VALUES[0][7, 0] = np.nan
PRICES = [np.arange(12.0), np.arange(9.0)]
STATIC = [[1.0], [2.0]]


def dataset(**options):
    arguments = {"horizon": 2, "known_future": PRICES, "static": STATIC, "missing": "mask", "shuffle": False, **options}
    return SeriesDataset(VALUES, 4, 5, **arguments)


def test_windows_of_values_and_covariates():
    batches = list(dataset())
    x = {name: np.concatenate([batch[0][name].numpy() for batch in batches]) for name in batches[0][0]}
    y, weights = (np.concatenate([batch[part].numpy() for batch in batches]) for part in (1, 2))
    row = 0
    for values, prices, static in zip(VALUES, PRICES, STATIC, strict=True):
        for start in range(len(values) - 5):
            window, ahead = values[start : start + 4], values[start + 4 : start + 6]
            if np.isnan(ahead).any(axis=1).all():
                continue
            np.testing.assert_array_equal(x["values"][row], np.nan_to_num(window).astype("float32"))
            np.testing.assert_array_equal(x["observed"][row], ~np.isnan(window))
            np.testing.assert_array_equal(x["known_future"][row, :, 0], prices[start : start + 6])
            np.testing.assert_array_equal(x["static"][row], static)
            np.testing.assert_array_equal(y[row], np.nan_to_num(ahead).astype("float32"))
            np.testing.assert_array_equal(weights[row], ~np.isnan(ahead).any(axis=1))
            row += 1
    assert row == len(y) and {array.dtype.name for array in (*x.values(), y, weights)} == {"float32"}


def test_series_windows_mask_missing_values():
    x, _, weights = next(iter(series_windows([1.0, np.nan, 3.0, 4.0], 2, 4, missing="mask", shuffle=False)))
    assert x["values"].numpy()[:, :, 0].tolist() == [[1, 0], [0, 3]] and weights.numpy().tolist() == [[1], [1]]


def test_model_reads_the_entries_by_name_and_training_resumes(tmp_path):
    """Interrupted after the first epoch, training ends with the same weights."""

    def model():
        keras.utils.set_random_seed(1)
        inputs = {"values": keras.Input((4, 2), name="values"), "observed": keras.Input((4, 2), name="observed")}
        hidden = DeepRNN(3, implementation="loop")(keras.layers.Concatenate()(list(inputs.values())))
        outputs = keras.layers.Reshape((2, 2))(keras.layers.Dense(4)(hidden))
        made = keras.Model(inputs, outputs)
        made.compile("adam", "mse", run_eagerly=True)
        return made

    options = {"known_future": None, "static": None, "shuffle": True, "seed": 3}
    uninterrupted, interrupted = model(), model()
    uninterrupted.fit(dataset(**options), epochs=2, shuffle=False, verbose=0)
    for epochs in (1, 2):
        data = dataset(**options)
        resume = Resume(tmp_path / "run", data)
        if epochs == 1:
            stop = keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: (_ for _ in ()).throw(KeyboardInterrupt)
            )
            with pytest.raises(KeyboardInterrupt):
                interrupted.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[resume, stop])
        else:
            interrupted.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[resume])
    for weight, expected in zip(interrupted.get_weights(), uninterrupted.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize(
    "options, error, message",
    [
        (
            {"missing": "refuse"},
            ValueError,
            r"values\[0\] must be finite, got nan at step 3, feature 1; .* missing=\"mask\"",
        ),
        ({"missing": "drop"}, ValueError, "unknown missing 'drop'"),
        ({"known_future": PRICES[:1]}, ValueError, r"known_future must have the same number of steps .* got \[12\]"),
        ({"known_future": [PRICES[0] * np.nan, PRICES[1]]}, ValueError, r"known_future\[0\] must be finite, got nan"),
        ({"static": [[1.0]]}, ValueError, r"static must have shape \(series, s\) with 2 series, got \(1, 1\)"),
        ({"static": [["a"], ["b"]]}, TypeError, "static must hold numbers, got <U1"),
        ({"static": [[1.0], [np.nan]]}, ValueError, "static must be finite, got nan"),
        ({"targets": [np.full(12, np.nan), np.full(9, np.nan)]}, ValueError, "targets must have an observed value"),
    ],
)
def test_invalid_arguments(options, error, message):
    with pytest.raises(error, match=message):
        dataset(**options)
