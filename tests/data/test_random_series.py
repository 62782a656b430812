"""`synthetic_series`: reproducible, finite, and of all the kinds that it promises."""

import numpy as np
import pytest

from deeprnn_keras.data import synthetic_series
from deeprnn_keras.data.random_series import SECOND_SEASONS, TRENDS


@pytest.fixture(scope="module")
def series():
    return synthetic_series(400, 200, seed=3)


def test_same_seed_gives_same_series(series):
    again, other = synthetic_series(400, 200, seed=3), synthetic_series(400, 200, seed=4)
    np.testing.assert_array_equal(again.values, series.values)
    np.testing.assert_array_equal(again.seasons, series.seasons)
    assert not np.array_equal(other.seasons, series.seasons)


@pytest.mark.parametrize("count, steps", [(1, 1), (1, 2), (3, 5), (2, 48)])
def test_sizes(count, steps):
    found = synthetic_series(count, steps, seed=1)
    assert found.values.shape == (count, steps) and not np.isinf(found.values).any()
    assert found.seasons.shape == found.second_seasons.shape == (count,)
    assert not np.isnan(synthetic_series(count, steps, seed=1, missing=False).values).any()


def test_all_kinds_of_series_occur(series):
    y, missing = np.nan_to_num(series.values), np.isnan(series.values)
    assert 0.02 < missing.any(axis=1).mean() < 0.3 and not missing[:, 0].any()
    assert (missing[:, 1:] & missing[:, :-1]).any(), "no stretch of missing values"
    assert (np.mean(y == 0, axis=1) > 0.3).any(), "no intermittent counts"
    assert (y.min(axis=1) > 0).any() and (y.max(axis=1) < 0).any()
    assert np.ptp(np.log(np.abs(y).mean(axis=1) + 1e-12)) > 8, "scales are alike"
    assert {1, 4, 7, 12, 24} <= set(series.seasons) and (series.second_seasons > series.seasons).any()
    second = series.second_seasons > 0
    assert all(
        b in SECOND_SEASONS[a] for a, b in zip(series.seasons[second], series.second_seasons[second], strict=True)
    )


def test_seasons_are_visible(series):
    """The autocorrelation at the season exceeds that at half the season in most series with a season of 12 or 24."""
    chosen = np.isin(series.seasons, (12, 24)) & ~np.isnan(series.values).any(axis=1)
    differences = np.diff(series.values[chosen], axis=1)

    def correlation(lags):
        return np.array([np.corrcoef(d[k:], d[:-k])[0, 1] for d, k in zip(differences, lags, strict=True)])

    seasons = series.seasons[chosen]
    assert np.mean(correlation(seasons) > correlation(seasons // 2)) > 0.7


@pytest.mark.parametrize("trend", TRENDS, ids=lambda trend: trend.__name__)
def test_trends_are_finite_and_change(trend):
    found = trend(np.random.default_rng(0), 5, np.linspace(0, 1, 50)[None])
    assert found.shape == (5, 50) and np.isfinite(found).all() and (np.ptp(found, axis=1) > 0).all()
