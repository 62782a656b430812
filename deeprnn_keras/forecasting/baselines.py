"""Simple methods that a forecaster is compared with: seasonal naive, exponential smoothing, and Theta."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.extras import import_optional

MAX_HISTORY = 1_000  # steps that are fitted; more take minutes and change little
SEASONS_OF_HISTORY = 10
MAX_SEASON = 60  # steps; statsmodels estimates one value per step of a season
Quantiles = np.ndarray
"""Quantiles of each step of the horizon, (H, number of quantiles)."""


def baseline_quantiles(
    name: str, history: np.ndarray, season: int, horizon: int, probabilities: Sequence[float]
) -> Quantiles:
    """Return quantiles of the forecast of a method.

    Args:
        name: "seasonal_naive", "ets", or "theta".
        history: Values up to the origin, NaN where missing.
        season: Steps of a season.
        horizon: H.
        probabilities: Probabilities of the quantiles.
    """
    observed = np.flatnonzero(~np.isnan(history))
    filled = np.interp(np.arange(len(history)), observed, history[observed])  # the methods need every value
    if len(filled) <= 2 * season:
        season = 1
    if np.ptp(filled) == 0:  # likelihoods of a constant are infinite
        return np.full((horizon, len(probabilities)), filled[-1])
    return BASELINES[name](filled, season, horizon, probabilities)


def check_baselines(names: Sequence[str]) -> None:
    """Raise a ValueError if a name is unknown, or an ImportError if the package of a method is missing."""
    for name in names:
        checks.one_of("baseline", name, BASELINES)
    if set(names) & {"ets", "theta"}:
        import_optional("statsmodels", "forecast", "Exponential smoothing and Theta")


def _seasonal_naive(history: np.ndarray, season: int, horizon: int, probabilities: Sequence[float]) -> Quantiles:
    """Repeat the last season; the variance of its errors grows with the number of seasons ahead.

    Source: Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, section 5.5.
    """
    steps = np.arange(horizon)
    point = history[len(history) - season + steps % season]
    errors = history[season:] - history[:-season]
    deviation = np.sqrt(np.mean(np.square(errors)) * (steps // season + 1))
    return _normal(point, deviation, probabilities)


def _ets(history: np.ndarray, season: int, horizon: int, probabilities: Sequence[float]) -> Quantiles:
    """Exponential smoothing with additive errors, a damped trend, and an additive season."""
    module = import_optional("statsmodels.tsa.exponential_smoothing.ets", "forecast", "Exponential smoothing")
    recent, season = _recent(history, season)
    series = import_optional("pandas", "forecast", "Exponential smoothing").Series(recent)  # predictions need an index
    seasonal = {"seasonal": "add", "seasonal_periods": season} if season > 1 else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer has not converged
        fitted = module.ETSModel(series, error="add", trend="add", damped_trend=True, **seasonal).fit(disp=False)
        prediction = fitted.get_prediction(start=len(recent), end=len(recent) + horizon - 1)
        deviation = np.sqrt(np.asarray(prediction.forecast_variance))
        return _normal(np.asarray(prediction.predicted_mean), deviation, probabilities)


def _theta(history: np.ndarray, season: int, horizon: int, probabilities: Sequence[float]) -> Quantiles:
    """Theta method, with the variance of its ARIMA(0, 1, 1) form."""
    module = import_optional("statsmodels.tsa.forecasting.theta", "forecast", "The Theta method")
    recent, season = _recent(history, season)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = module.ThetaModel(recent, period=season, deseasonalize=season > 1)
        fitted = fitted.fit(use_mle=True)  # otherwise its variance contains that of the season
        point = np.asarray(fitted.forecast(horizon))
        bounds = np.asarray(fitted.prediction_intervals(horizon, alpha=0.2))
    deviation = (bounds[:, 1] - bounds[:, 0]) / 2 / NormalDist().inv_cdf(0.9)
    return _normal(point, deviation, probabilities)


def _recent(history: np.ndarray, season: int) -> tuple[np.ndarray, int]:
    """Return the end of the history and the season, 1 if the season is too long to be estimated."""
    season = season if season <= MAX_SEASON else 1
    return history[-max(min(MAX_HISTORY, SEASONS_OF_HISTORY * season), 200) :], season


def _normal(point: np.ndarray, deviation: np.ndarray, probabilities: Sequence[float]) -> Quantiles:
    scores = np.array([NormalDist().inv_cdf(probability) for probability in probabilities])
    return point[:, None] + deviation[:, None] * scores


BASELINES: Mapping[str, Callable[[np.ndarray, int, int, Sequence[float]], Any]] = {
    "seasonal_naive": _seasonal_naive,
    "ets": _ets,
    "theta": _theta,
}
