"""`ZeroShotForecaster`: forecasts without training, updates, evaluation, files, and rejected arguments."""

import keras
import numpy as np
import pandas as pd
import pytest
from refusals import outcome

from deeprnn_keras import Forecaster, SequenceModel, zoo
from deeprnn_keras.data import synthetic_series
from deeprnn_keras.forecasting import ZeroShotForecaster
from deeprnn_keras.forecasting.synthetic_windows import synthetic_batches, training_batch
from deeprnn_keras.forecasting.zero_shot_states import rolling_quantiles
from deeprnn_keras.tasks import families
from deeprnn_keras.tasks import zero_shot as family_module

NAME = "recurrent_forecaster_150k"
TINYCAST = 146_505


@pytest.fixture(scope="module")
def network():
    return zoo.create_forecaster(NAME, pretrained=True).model


@pytest.fixture
def forecaster(network):
    return ZeroShotForecaster(network)


def frame(lengths, freq="h", season=24):
    parts = []
    for name, steps in lengths.items():
        noise = np.random.default_rng(ord(name)).normal(0, 0.3, steps)
        y = 20 + 5 * np.sin(2 * np.pi * np.arange(steps) / season) + noise
        parts.append(
            pd.DataFrame({"unique_id": name, "ds": pd.date_range("2020-01-01", periods=steps, freq=freq), "y": y})
        )
    return pd.concat(parts, ignore_index=True)


def test_number_of_weights(network):
    assert zoo.count_params(NAME) == network.count_params() == 145_296 < TINYCAST < 150_000


@pytest.mark.parametrize(
    "freq, season, second, horizon",
    [
        ("15min", 96, 672, 96),
        ("h", 24, 168, 24),
        ("D", 7, 364, 7),
        ("W", 52, 0, 52),
        ("B", 5, 0, 5),
        ("MS", 12, 0, 12),
        ("QE", 4, 0, 4),
        ("YS", 1, 0, 8),
    ],
)
def test_any_frequency_is_forecast_without_training(forecaster, freq, season, second, horizon):
    data = frame({"a": 60}, freq, 12)
    assert forecaster.seasons(forecaster.read_panel(data)[0]) == (season, second)
    found = forecaster.forecast(data)
    assert list(found) == ["unique_id", "ds", "y_hat", "q0.1", "q0.5", "q0.9"] and len(found) == horizon
    expected = pd.date_range(data["ds"].iloc[-1], periods=horizon + 1, freq=freq)[1:]
    assert list(found["ds"]) == list(expected)
    assert (found["q0.1"] <= found["y_hat"]).all() and (found["y_hat"] <= found["q0.9"]).all()


def test_season_is_followed(forecaster):
    data = frame({"a": 24 * 8, "b": 24 * 3})
    found = forecaster.forecast(data, horizon=48, quantiles=(0.05, 0.95))
    expected = frame({"a": 24 * 10, "b": 24 * 5}).groupby("unique_id").tail(48)
    assert np.abs(found["y_hat"].to_numpy() - expected["y"].to_numpy()).mean() < 0.6
    inside = (found["q0.05"].to_numpy() <= expected["y"]) & (expected["y"] <= found["q0.95"].to_numpy())
    assert inside.mean() > 0.75


def test_arrays_missing_values_and_detected_season(forecaster):
    y = np.tile([1.0, 5.0, 2.0, 0.0, 3.0, 1.0, 4.0], 12)
    y[30:33] = np.nan
    found = forecaster.forecast([y, y[:50]], horizon=7)
    np.testing.assert_allclose(found["y_hat"][:7], y[:7], atol=0.3)
    assert found["ds"].tolist() == [*range(84, 91), *range(50, 57)] and (found["q0.1"] >= 0).all()


def test_quantiles_do_not_cross_for_any_series(forecaster):
    series = synthetic_series(40, 90, seed=8)
    found = forecaster.forecast(list(series.values), horizon=200, quantiles=(0.05, 0.3, 0.42, 0.95))
    values = np.stack([found[f"q{p:g}"] for p in (0.05, 0.3, 0.42, 0.95)])
    assert np.isfinite(values).all() and (np.diff(values, axis=0) >= 0).all()


# === States ===


def test_update_equals_fit_up_to_the_start_of_the_network(forecaster, network):
    """The simple forecasts are equal; the network began earlier. Each step costs the same, in any division."""
    data = frame({"a": 150, "b": 40, "c": 40})
    late = data.groupby("unique_id").tail(9)
    early = data.drop(late.index)
    first, rest = late.groupby("unique_id").head(4), late.groupby("unique_id").tail(5)
    forecaster.fit(early).update(first[first["unique_id"] != "c"]).update(first[first["unique_id"] == "c"])
    found = forecaster.update(rest).forecast(horizon=6)
    at_once = ZeroShotForecaster(network).fit(early).update(late).forecast(horizon=6)
    np.testing.assert_allclose(found["y_hat"], at_once["y_hat"], rtol=1e-5)
    expected = ZeroShotForecaster(network).forecast(data, horizon=6)
    assert list(found["ds"]) == list(expected["ds"])
    np.testing.assert_allclose(found["y_hat"], expected["y_hat"], rtol=0.02)
    held_out = ZeroShotForecaster(network).fit(data, holdout=9).forecast(horizon=6)
    np.testing.assert_array_equal(held_out["y_hat"], ZeroShotForecaster(network).forecast(early, horizon=6)["y_hat"])


def test_gap_before_new_rows_is_missing(forecaster, network):
    y = frame({"a": 60})
    with_gap = y.drop(index=range(50, 55))
    found = forecaster.fit(y.head(50)).update(y.tail(5)).forecast(horizon=3)
    expected = ZeroShotForecaster(network).fit(y.head(50)).update(with_gap.tail(5)).forecast(horizon=3)
    np.testing.assert_array_equal(found["y_hat"], expected["y_hat"])
    np.testing.assert_allclose(
        found["y_hat"], ZeroShotForecaster(network).forecast(with_gap, horizon=3)["y_hat"], rtol=1e-4
    )


def test_rolling_origins_equal_forecasts_of_the_beginning(forecaster):
    y = frame({"a": 200})["y"].to_numpy()
    origins = np.array([5, 60, 170])
    found = rolling_quantiles(forecaster._require_program(), y, origins, 24, 168, 5, (0.1, 0.5, 0.9))
    for row, origin in enumerate(origins):
        expected = ZeroShotForecaster(forecaster.model, season=24, second_season=168).forecast(y[:origin], horizon=5)
        np.testing.assert_allclose(found[row, :, 1], expected["y_hat"], rtol=1e-5)
        np.testing.assert_allclose(found[row, :, 2], expected["q0.9"], rtol=1e-5)


def test_saved_forecaster_continues(forecaster, tmp_path):
    data = frame({"a": 70, "b": 70})
    late = data.groupby("unique_id").tail(3)
    forecaster.fit(data.drop(late.index)).save(tmp_path / "saved")
    loaded = ZeroShotForecaster.load(tmp_path / "saved")
    found, expected = loaded.update(late).forecast(horizon=4), forecaster.update(late).forecast(horizon=4)
    pd.testing.assert_frame_equal(found, expected)
    ZeroShotForecaster(forecaster.model, season=6, horizon=2).save(tmp_path / "empty")
    empty = ZeroShotForecaster.load(tmp_path / "empty")
    assert (empty.season, empty.horizon, empty._read) == (6, 2, None)
    with pytest.raises(ValueError, match=r"load it with ZeroShotForecaster\.load"):
        Forecaster.load(tmp_path / "empty")
    (tmp_path / "empty" / "zero_shot_forecaster.json").write_text('{"format": 7}')
    with pytest.raises(ValueError, match=r"zero_shot_forecaster\.json"):
        ZeroShotForecaster.load(tmp_path / "empty")


def test_evaluation_and_plot(forecaster):
    pytest.importorskip("utilsforecast")
    data = frame({"a": 120, "b": 100})
    found = forecaster.evaluate(data, 3, horizon=8, baselines=("seasonal_naive",))
    assert found.metrics["network"]["MASE"] < found.metrics["seasonal_naive"]["MASE"]
    assert found.windows == 3 and found.forecasts["y"].shape == (6, 8) and "beats" in found.summary()
    figure = forecaster.plot(data, series=["b"], horizon=8)
    assert len(figure.axes) == 1 and figure.axes[0].get_ylabel() == "b"


# === Training ===


def test_batches_depend_on_their_number_only():
    data = synthetic_batches(1, 4, (1, 2))
    batches = [(x.numpy(), y.numpy()) for x, y in data]
    data.set_position(0, 2)
    for (x, y), (expected_x, expected_y) in zip(data, batches[2:], strict=True):
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(y, expected_y)
    assert not np.array_equal(batches[0][0], batches[1][0])


def test_targets_are_the_values_after_the_origins():
    """A line of slope 1 has seasonal naive forecasts that are h too low, and a scale of 1."""
    series = synthetic_series(1, 60, seed=0)
    series.values[:], series.seasons[:], series.second_seasons[:] = np.arange(60.0), 1, 0
    _, y = training_batch(series, np.random.default_rng(0), horizons=2)
    targets = y.reshape(1, 40, 2, -1)
    used = targets[..., 0] > 0
    horizons = np.exp(np.interp(targets[..., 2], np.arange(6), np.log([1, 3, 8, 20, 50, 120])))
    np.testing.assert_allclose(targets[..., 1][used], horizons[used], rtol=1e-3)
    assert used[:, 4:].all() and not used[:, :3].any()


@pytest.mark.slow
def test_short_training_is_scored(tmp_path, monkeypatch):
    """A short run of a small network improves on the average of the simple forecasts, and can be lowered."""
    monkeypatch.setattr(family_module, "UPDATES_PER_EPOCH", 10)
    monkeypatch.setattr(family_module, "TEST_BATCHES", 3)
    family, config = families()["zero-shot"], zoo.info(NAME, units=8, num_layers=1, epochs=2, batch_size=16)
    run = family.train(config.build(), family.load_data(config), config.recipe, tmp_path / "run")
    assert run.ending == "finished" and run.program_path.is_file()
    assert 0.5 < run.score["MAE / seasonal naive"] < 1.1 and 0.4 < run.score["coverage of 80 %"] < 1
    assert family.accepts(keras.saving.load_model(run.model_path))


def test_trained_weights_beat_seasonal_naive_on_unseen_series(network):
    """On synthetic series of another seed, in the median of the ratios of absolute errors."""
    series = synthetic_series(60, 120, seed=99, missing=False)
    ratios = []
    for season in (1, 7, 12, 24):
        rows = np.flatnonzero(series.seasons == season)
        ends = 96
        found = ZeroShotForecaster(network, season=season).forecast(list(series.values[rows, :ends]), horizon=24)
        values, steps = series.values[rows, ends:], np.arange(24)
        naive = series.values[rows][:, ends - season + steps % season]
        error = np.abs(found["y_hat"].reshape(-1, 24) - values).mean(axis=1)
        ratios.append(error / np.maximum(np.abs(naive - values).mean(axis=1), 1e-9))
    assert np.median(np.concatenate(ratios)) < 0.9


# === Errors ===


def test_rejected_arguments(network, forecaster, tmp_path):
    y = frame({"a": 30})
    read = ZeroShotForecaster(network).fit(y)
    other = SequenceModel(3, 2, units=2, kind="numbers", per_step=True)
    cases = [
        (lambda: ZeroShotForecaster(other), "model must have 72 inputs and 144 outputs per step, got 3 and 2"),
        (lambda: ZeroShotForecaster(network, season=0), "season must be a positive integer, got 0"),
        (lambda: ZeroShotForecaster(network, second_season=-1), "second_season must be a non-negative integer"),
        (
            lambda: ZeroShotForecaster(network, second_season=12).forecast(y),
            "greater than the season of 24 steps, got 12",
        ),
        (lambda: forecaster.forecast(), "has read no series; pass them to forecast"),
        (lambda: forecaster.update(y), "has read no series"),
        (lambda: forecaster.forecast(y, horizon=0), "horizon must be a positive integer, got 0"),
        (lambda: forecaster.forecast(y, quantiles=(0.01,)), "between 0.05 and 0.95, .* got 0.01"),
        (lambda: forecaster.forecast(y.head(3)), "requires 5 steps"),
        (lambda: forecaster.forecast(y.assign(price=1.0)), "price"),
        (lambda: forecaster.evaluate(y, 10, horizon=5), "evaluation with windows=10 and stride=5 requires"),
        (lambda: forecaster.evaluate(y, 1, baselines=("arima",)), "arima"),
        (lambda: forecaster.plot(y, series=["z"]), "series 'z' is not in df"),
        (lambda: read.update(y), "must begin after 2020-01-02 05:00"),
        (lambda: read.update(y.assign(unique_id="z")), "series 'z' has not been read"),
        (lambda: zoo.create_forecaster(NAME), "forecasts without training .* pass pretrained=True"),
        (lambda: zoo.create_forecaster(NAME, pretrained=True, epochs=3), "epochs is not an option of"),
        (lambda: zoo.create_forecaster("kjv_lstm_2x256"), f"the forecasters are .*{NAME}"),
    ]
    found = {message: outcome(call, message) for call, message in cases}
    assert not any(found.values()), found
