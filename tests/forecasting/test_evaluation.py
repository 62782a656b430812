"""Evaluation with rolling origins: metrics compared with NumPy, baselines with their definitions, no leakage."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from deeprnn_keras import Forecaster
from deeprnn_keras.forecasting.baselines import baseline_quantiles
from deeprnn_keras.forecasting.calibration import spread_of
from deeprnn_keras.forecasting.evaluation import DECILES

pytest.importorskip("utilsforecast")
pytest.importorskip("statsmodels")
WINDOWS, HORIZON, SEASON, STEPS = 3, 4, 6, 120
RNG = np.random.default_rng(0)


def frame():
    stamps = pd.date_range("2024-01-01", periods=STEPS, freq="h")
    y = 10 + 3 * np.sin(np.arange(STEPS) * 2 * np.pi / SEASON) + RNG.normal(size=STEPS)
    return pd.concat(
        [pd.DataFrame({"unique_id": name, "ds": stamps, "y": scale * y}) for name, scale in (("a", 1), ("b", 9))]
    )


@pytest.fixture(scope="module")
def evaluated():
    from eagerly import eagerly

    with eagerly():
        made = Forecaster(HORIZON, units=3, num_layers=1, context=8, season=SEASON, updates_per_epoch=2)
        data = frame()
        made.fit(data, holdout=WINDOWS * HORIZON, epochs=1, verbose=False)
        return made, data, made.evaluate(data, WINDOWS, num_samples=60)


def test_metrics_equal_their_definitions(evaluated):
    _, data, evaluation = evaluated
    y = np.concatenate([data[data["unique_id"] == name]["y"].to_numpy()[None] for name in ("a", "b")])
    origins = [STEPS - HORIZON * count for count in (3, 2, 1)]
    truth = np.array([series[origin : origin + HORIZON] for series in y for origin in origins])
    scale = np.array(
        [np.abs(series[SEASON:origin] - series[: origin - SEASON]).mean() for series in y for origin in origins]
    )
    np.testing.assert_allclose(evaluation.forecasts["y"], truth)
    for name in ("network", "seasonal_naive", "ets", "theta"):
        quantiles = evaluation.forecasts[name]
        assert quantiles.shape == (6, HORIZON, 9)
        median, errors = quantiles[:, :, 4], truth[:, :, None] - quantiles
        p = np.array(DECILES)
        pinball = 2 * np.maximum(p * errors, (p - 1) * errors)
        expected = {
            "MASE": np.mean(np.abs(truth - median).mean(1) / scale),
            "sMAPE": np.mean(200 * np.abs(truth - median) / (np.abs(truth) + np.abs(median))),
            "CRPS": pinball.mean(),
            "WQL": pinball.mean(2).sum() / np.abs(truth).sum(),
            "coverage": np.mean((quantiles[:, :, 0] <= truth) & (truth <= quantiles[:, :, 8])),
        }
        assert evaluation.metrics[name] == pytest.approx(expected, rel=1e-6), name


def test_report_states_whether_the_network_is_better(evaluated):
    evaluation = evaluated[2]
    first, header, *rows, last = str(evaluation).splitlines()
    assert first == evaluation.summary() and "does not beat the best simple method" in first
    assert header.split() == ["MASE", "sMAPE", "WQL", "CRPS", "coverage"] and len(rows) == 4
    assert last.startswith("Means over 3 windows of each series (2); lower is better") and evaluation.best != "network"
    one = str(dataclasses.replace(evaluation, windows=1))
    assert one.splitlines()[-1].startswith("Means over 1 window of each series (2); lower is better")


def test_no_forecast_reads_the_values_it_predicts(evaluated):
    made, data, evaluation = evaluated
    changed = data.copy()
    rows = changed.groupby("unique_id").cumcount() >= STEPS - 2 * HORIZON
    changed.loc[rows.to_numpy(), "y"] *= 1000
    other = made.evaluate(changed, WINDOWS, num_samples=60)
    for name in ("network", "seasonal_naive", "ets", "theta"):
        first, second = evaluation.forecasts[name], other.forecasts[name]
        # the origins of the first two windows of each series are before the change
        np.testing.assert_allclose(first[[0, 1, 3, 4]], second[[0, 1, 3, 4]])
        assert not np.allclose(first[[2, 5]], second[[2, 5]])


def test_evaluation_equals_forecasts_from_each_origin(evaluated):
    made, data, evaluation = evaluated
    cut = data[data.groupby("unique_id").cumcount() < STEPS - HORIZON]
    forecast = made.forecast(cut[cut["unique_id"] == "a"], quantiles=DECILES, num_samples=4_000, seed=0)
    single = np.stack([forecast[f"q{p:g}"].to_numpy() for p in DECILES], axis=1)
    spread = single[:, 8] - single[:, 0]
    assert np.all(np.abs(single[:, 4] - evaluation.forecasts["network"][2, :, 4]) < 0.4 * spread)


def test_seasonal_naive():
    history = np.arange(20.0) + 100 * (np.arange(20) % 4)
    quantiles = baseline_quantiles("seasonal_naive", history, 4, 6, (0.1, 0.5, 0.9))
    np.testing.assert_allclose(quantiles[:, 1], [*history[-4:], *history[-4:-2]])
    width = quantiles[:, 2] - quantiles[:, 1]
    np.testing.assert_allclose(width[4] / width[0], np.sqrt(2))
    np.testing.assert_allclose(width[0], 4 * 1.2815515655, rtol=1e-6)


@pytest.mark.parametrize("name", ["seasonal_naive", "ets", "theta"])
def test_baselines_take_missing_constant_and_short_series(name):
    gaps = np.sin(np.arange(40.0))
    gaps[[3, 4, 20]] = np.nan
    for history in (gaps, np.full(30, 2.0), np.array([1.0, 2.0, 1.5, 2.5, 1.0, 2.0, 1.0])):
        quantiles = baseline_quantiles(name, history, 5, 3, (0.1, 0.9))
        assert quantiles.shape == (3, 2) and np.isfinite(quantiles).all() and np.all(quantiles[:, 0] <= quantiles[:, 1])


def test_invalid_arguments(evaluated):
    made, data, _ = evaluated
    with pytest.raises(ValueError, match="unknown baseline 'arima'"):
        made.evaluate(data, 2, baselines=("arima",))
    with pytest.raises(ValueError, match=r"evaluation with windows=50 and stride=4 requires 202 steps .* 'a' has 120"):
        made.evaluate(data, 50)


def test_intervals_are_widened_to_cover_held_out_values():
    """Values of twice the deviation that the intervals state lead to a factor of 2; narrower ones are not shrunk."""
    y = np.random.default_rng(0).normal(size=(200, 10))
    y[0, 0] = np.nan
    bound, median = np.full(y.shape, 1.2816), np.zeros(y.shape)
    assert spread_of(2 * y, -bound, median, bound) == pytest.approx(2, abs=0.1)
    assert spread_of(y / 2, -bound, median, bound) == 1 and spread_of(100 * y, -bound, median, bound) == 4


def test_spread_scales_the_distances_from_the_median(evaluated):
    from dataclasses import replace

    made, data, _ = evaluated
    before, fitted = made.sample(data, num_samples=40, seed=0), made._fitted
    made._fitted = replace(fitted, spread=2 * fitted.spread)
    try:
        after = made.sample(data, num_samples=40, seed=0)
    finally:
        made._fitted = fitted
    median = np.median(before, axis=1, keepdims=True)
    np.testing.assert_allclose(after - median, 2 * (before - median), atol=1e-9)
