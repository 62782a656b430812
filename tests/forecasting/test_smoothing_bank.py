"""`SmoothingBank`, `OriginInputs`, and `CombinedQuantiles` against plain Python and NumPy."""

import numpy as np
import pytest

from deeprnn_keras.data import synthetic_series
from deeprnn_keras.forecasting import combination
from deeprnn_keras.forecasting.combination import KNOTS, PARAMETERS, PROBABILITIES, CombinedQuantiles, knot_position
from deeprnn_keras.forecasting.origin_inputs import NUM_INPUTS, OriginInputs
from deeprnn_keras.forecasting.season_detection import detect_season
from deeprnn_keras.forecasting.smoothing_bank import CANDIDATES, SmoothingBank


def without_season(y, ahead):
    """Return {simple forecast: value} after a series without a season, one observation after the other."""
    levels = dict.fromkeys(("slow level", "medium level", "fast level", "mean"), 0.0)
    rates = {"slow level": 0.1, "medium level": 0.3, "fast level": 0.8, "mean": 0.005}
    trends = {"slow trend": [0.0, 0.0, 0.3, 0.05, 0.99], "fast trend": [0.0, 0.0, 0.8, 0.3, 0.9]}
    drift = pairs = count = 0
    last = 0.0
    for value in y[~np.isnan(y)] if np.isnan(y).any() else y:
        for name, level in levels.items():
            levels[name] = level + max(rates[name], 1 / (count + 1)) * (value - level)
        for name, (level, trend, rate, trend_rate, damping) in trends.items():
            error = value - level - damping * trend
            new = level + damping * trend + max(rate, 1 / (count + 1)) * error
            change = max(rate * trend_rate, 0.5 / (count + 1)) * error if count else 0.0
            trends[name] = [new, damping * trend + change, rate, trend_rate, damping]
        if count:
            drift += max(1 / (pairs + 1), 1 / 8) * (value - last - drift)
            pairs += 1
        last, count = value, count + 1
    found = {"seasonal naive": last, "naive": last, "seasonal naive with drift": last + ahead * drift, **levels}
    for name, (level, trend, _, _, damping) in trends.items():
        found[name] = level + trend * sum(damping**step for step in range(1, ahead + 1))
    return found


@pytest.mark.parametrize("ahead", [1, 5])
def test_levels_and_trends_equal_plain_python(ahead):
    y = np.random.default_rng(0).normal(size=(1, 60)).cumsum(axis=1)
    bank = SmoothingBank(np.array([1]), np.array([0]))
    bank.read(y)
    found = dict(zip(CANDIDATES, bank.candidates(np.array([[bank.steps - 1]]), np.array([[ahead]]))[0, 0], strict=True))
    for name, value in without_season(y[0], ahead).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, err_msg=name)


def test_missing_values_change_no_level():
    y = np.array([[3.0, 5.0, np.nan, np.nan, 4.0]])
    bank = SmoothingBank(np.array([1]), np.array([0]))
    bank.read(y)
    found = dict(zip(CANDIDATES, bank.candidates(np.array([[5]]), np.array([[1]]))[0, 0], strict=True))
    for name in ("slow level", "medium level", "fast level", "mean", "naive"):
        np.testing.assert_allclose(found[name], without_season(y[0], 1)[name], rtol=1e-12, err_msg=name)


def test_season_is_repeated_exactly():
    """Additive, multiplicative, and two seasons: after a few cycles, the forecasts made for them are exact."""
    t, h = np.arange(240), np.arange(1, 25)[:, None]
    day, week = np.sin(2 * np.pi * t / 6) + 5, np.cos(2 * np.pi * t / 24)
    y = np.stack([day, day * 3, day + week])
    bank = SmoothingBank(np.array([6, 6, 6]), np.array([0, 0, 24]))
    bank.read(y[:, :216])
    found = bank.candidates(np.full((24, 3), 216), np.broadcast_to(h, (24, 3)))
    expected = y[:, 216:].T
    for row, names in enumerate([CANDIDATES[:10], CANDIDATES[:10], ("second seasonal naive",)]):
        for name in names:
            if name != "naive":
                values = found[:, row, CANDIDATES.index(name)]
                np.testing.assert_allclose(values, expected[:, row], atol=0.02 * np.ptp(expected), err_msg=name)


def test_trend_with_season_is_extrapolated():
    t = np.arange(60.0)
    y = (100 + 2 * t + 10 * np.sin(2 * np.pi * t / 12))[None]
    bank = SmoothingBank(np.array([12]), np.array([0]))
    bank.read(y[:, :48])
    found = bank.candidates(np.full((12, 1), 48), np.arange(1, 13)[:, None])[:, 0]
    np.testing.assert_allclose(found[:, CANDIDATES.index("seasonal naive with drift")], y[0, 48:], rtol=1e-9)
    np.testing.assert_allclose(found[:, CANDIDATES.index("slow trend")], y[0, 48:], rtol=0.03)


# === Inputs ===


@pytest.fixture(scope="module")
def series():
    found = synthetic_series(24, 130, seed=5)
    found.values[3, 40:60] = np.nan
    found.values[4, :30] = np.nan
    return found


def test_reading_step_by_step_equals_reading_at_once(series):
    once = OriginInputs(series.seasons, series.second_seasons)
    expected = once.read(series.values)
    assert expected.shape == (24, 130, NUM_INPUTS) and np.isfinite(expected).all()
    parts = OriginInputs(series.seasons, series.second_seasons)
    found = []
    for low, high in ((0, 1), (1, 2), (2, 50), (50, 130)):
        found.append(parts.read(series.values[:, low:high]))
        parts.bank.forget()
        assert parts.bank.steps == parts.bank.memory()
    np.testing.assert_allclose(np.concatenate(found, axis=1), expected, atol=1e-6)
    rows = np.array([3, 7])
    np.testing.assert_array_equal(parts.take(rows).bank.records.age[-1], parts.bank.records.age[-1, rows])


def test_inputs_do_not_depend_on_units_or_on_the_future(series):
    expected = OriginInputs(series.seasons, series.second_seasons).read(series.values)
    scaled = OriginInputs(series.seasons, series.second_seasons).read(series.values * 1024)
    np.testing.assert_allclose(scaled, expected, atol=1e-5)
    changed = series.values.copy()
    changed[:, 90:] = 7.0
    found = OriginInputs(series.seasons, series.second_seasons).read(changed)
    np.testing.assert_array_equal(found[:, :90], expected[:, :90])


@pytest.mark.parametrize(
    "y", [[[0.0]], [[np.nan]], [[5.0] * 30], [[0.0] * 30], [[1e-30, 2e-30] * 9], [[1e15, 2e15] * 9]]
)
def test_extreme_series_give_finite_inputs(y):
    assert np.isfinite(OriginInputs(np.array([4]), np.array([0])).read(np.array(y))).all()


def test_detected_season():
    rng = np.random.default_rng(0)
    for season in (7, 12, 24, 168):
        cycle = np.tile(rng.normal(size=season), 6)
        cycle[5] = np.nan
        assert detect_season([cycle + 0.2 * rng.normal(size=6 * season)]) == season
    noise, walk = rng.normal(size=200), rng.normal(size=200).cumsum()
    assert [detect_season([one]) for one in (noise, walk, np.ones(30), np.arange(20.0), np.ones(2))] == [1] * 5


# === Quantiles ===


def test_loss_equals_numpy():
    rng = np.random.default_rng(1)
    outputs = rng.normal(size=(2, 3, len(KNOTS) * PARAMETERS)).astype("float32")
    steps = rng.integers(1, 130, size=(2, 3, 4))
    candidates = rng.normal(size=(2, 3, 4, len(CANDIDATES)))
    weight, value = rng.random((2, 3, 4)), rng.normal(size=(2, 3, 4))
    y = np.concatenate([np.stack([weight, value, knot_position(steps)], axis=3), candidates], axis=3)
    expected = np.zeros((2, 3))
    for n, t, j in np.ndindex(2, 3, 4):
        knots = outputs[n, t].reshape(len(KNOTS), PARAMETERS)
        logs = np.log(KNOTS)
        parameters = [np.interp(np.log(steps[n, t, j]), logs, knots[:, k]) for k in range(PARAMETERS)]
        logits, spread, distances = np.split(np.array(parameters), [len(CANDIDATES), len(CANDIDATES) + 1])
        weights = np.exp(logits) / np.exp(logits).sum()
        for p, score, distance in zip(PROBABILITIES, combination.SCORES, distances, strict=True):
            error = value[n, t, j] - (weights @ candidates[n, t, j] + np.exp(spread[0]) * (score + distance))
            expected[n, t] += weight[n, t, j] * 2 * max(p * error, (p - 1) * error) / len(PROBABILITIES) / 4
    found = CombinedQuantiles(reduction=None)(y.reshape(2, 3, -1).astype("float32"), outputs)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert CombinedQuantiles.from_config(CombinedQuantiles().get_config()).name == "combined_quantiles"


def test_position_of_a_horizon_among_the_knots():
    np.testing.assert_allclose(knot_position(np.array([1, 3, 120, 500])), [0, 1, 5, 5])
