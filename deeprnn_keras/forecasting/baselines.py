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
MAX_ESTIMATED_SEASON = 12  # steps; initial states of exponential smoothing for longer seasons are not estimated
CHI_SQUARE_90 = 2.706  # quantile 0.9 of the chi-square distribution with one degree of freedom
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
    """Exponential smoothing with additive errors, a damped trend, and an additive season.

    The initial states of seasons of up to 12 steps are estimated. Those of longer seasons are the usual heuristic ones
    of the first seasons, because estimating 24 takes 60 times as long.
    """
    module = import_optional("statsmodels.tsa.exponential_smoothing.ets", "forecast", "Exponential smoothing")
    recent, season = _recent(history, season)
    series = import_optional("pandas", "forecast", "Exponential smoothing").Series(recent)  # predictions need an index
    seasonal = {"seasonal": "add", "seasonal_periods": season} if season > 1 else {}
    initial = {"initialization_method": "heuristic" if season > MAX_ESTIMATED_SEASON else "estimated"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer has not converged
        model = module.ETSModel(series, error="add", trend="add", damped_trend=True, **seasonal, **initial)
        fitted = model.fit(disp=False)
        prediction = fitted.get_prediction(start=len(recent), end=len(recent) + horizon - 1)
        deviation = np.sqrt(np.asarray(prediction.forecast_variance))
        return _normal(np.asarray(prediction.predicted_mean), deviation, probabilities)


def _theta(history: np.ndarray, season: int, horizon: int, probabilities: Sequence[float]) -> Quantiles:
    """Theta method, with the variance of its ARIMA(0, 1, 1) form: s² (1 + (h - 1) α²).

    s² is the mean square of the one-step errors of the exponential smoothing of the seasonally adjusted values. The
    variance of statsmodels would be that of values with their season.
    """
    module = import_optional("statsmodels.tsa.forecasting.theta", "forecast", "The Theta method")
    recent, season = _recent(history, season)
    adjusted, factors, summands = _seasonally_adjusted(recent, season)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = module.ThetaModel(adjusted, deseasonalize=False).fit()
        point = np.asarray(fitted.forecast(horizon))
    alpha = float(fitted.params["alpha"])
    variance = _smoothing_variance(adjusted, alpha) * (1 + np.arange(horizon) * alpha**2)
    phase = (len(recent) + np.arange(horizon)) % season
    return _normal(point, np.sqrt(variance), probabilities) * factors[phase, None] + summands[phase, None]


def _seasonally_adjusted(values: np.ndarray, season: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values without their season, the factors of the season, and its summands.

    The season is multiplicative for positive values, else additive. It is left out if its autocorrelation is not
    significant, by the test of the Theta method of the M3 competition: the squared autocorrelation at lag m is compared
    with those of the lags before it, at a level of 10%.
    """
    factors, summands = np.ones(season), np.zeros(season)
    if season > 1:
        acf = import_optional("statsmodels.tsa.stattools", "forecast", "The Theta method").acf(values, nlags=season)
        if len(values) * acf[-1] ** 2 / np.sum(np.square(acf[:-1])) > CHI_SQUARE_90:
            decompose = import_optional("statsmodels.tsa.seasonal", "forecast", "The Theta method").seasonal_decompose
            if values.min() > 0:
                factors = decompose(values, "multiplicative", period=season).seasonal[:season]
            if factors.min() <= 0 or values.min() <= 0:
                factors, summands = np.ones(season), decompose(values, "additive", period=season).seasonal[:season]
    phase = np.arange(len(values)) % season
    return (values - summands[phase]) / factors[phase], factors, summands


def _smoothing_variance(values: np.ndarray, alpha: float) -> float:
    """Return the mean square of the one-step errors of simple exponential smoothing."""
    level, total = values[0], 0.0
    for value in values[1:]:
        error = value - level
        level, total = level + alpha * error, total + error * error
    return total / (len(values) - 1)


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
