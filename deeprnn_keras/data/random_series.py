"""Synthetic series: trends, seasons, noise, shifts, counts, and missing values, drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deeprnn_keras import checks

SEASONS = np.array([1, 4, 5, 6, 7, 10, 12, 13, 24, 30, 48, 52, 96])
SEASON_WEIGHTS = np.array([5, 5, 1, 1, 5, 1, 6, 1, 5, 1, 2, 2, 1.0])
SECOND_SEASONS = {24: (168,), 48: (336,), 96: (672,), 7: (28, 84, 364), 12: (60,), 4: (20,), 6: (42,), 10: (70,)}
"""Steps of a longer season by those of the season: a week of days, a year of weeks, and business cycles."""

MAX_HARMONICS = 5


@dataclass(frozen=True)
class SyntheticSeries:
    """Synthetic series of the same length.

    Attributes:
        values: Values, (n, steps), NaN where they are missing.
        seasons: Number of steps of the season of each series, (n,); 1 for none.
        second_seasons: Number of steps of a longer season, (n,); 0 for none.
    """

    values: np.ndarray
    seasons: np.ndarray
    second_seasons: np.ndarray


def synthetic_series(count: int, steps: int, seed: int | tuple[int, ...] = 0, missing: bool = True) -> SyntheticSeries:
    """Return random series to train a model that forecasts series of any kind.

    A series is composed of a trend (none, linear, damped, piecewise linear, exponential, logistic, or a random walk),
    up to two seasons (harmonics, a random profile, or pulses) whose amplitude may change, ARMA noise (normal, Laplace,
    or Student's t; its variance may depend on the season, follow a random walk, or change once), shifts of the level,
    switching regimes, and outliers. Some series are products of these parts, some are counts, many of which are 0, and
    some are rounded or cut off at 0. The scale and the level are random.

        y_t = level + scale (trend_t + season_t + noise_t)   or   y_t = level exp(trend_t + season_t + noise_t)

    Some series do not have the season that is stated for them, so that a model does not rely on it.

    Args:
        count: Number of series, n.
        steps: Number of steps of each series.
        seed: Random seed.
        missing: If True, some series have missing values, single ones and stretches.

    Raises:
        ValueError: If an argument is out of range.

    >>> from deeprnn_keras.data import synthetic_series
    >>> series = synthetic_series(count=3, steps=100, seed=0)
    >>> series.values.shape, series.seasons.shape
    ((3, 100), (3,))
    """
    count, steps = checks.positive_int("count", count), checks.positive_int("steps", steps)
    missing = checks.flag("missing", missing)
    rng = np.random.default_rng(seed)
    seasons, second_seasons = _draw_seasons(rng, count, steps)
    signal = _trends(rng, count, steps) + _all_seasons(rng, seasons, second_seasons, steps)
    noise = _noise(rng, count, steps, seasons)
    shifts = _shifts(rng, count, steps)
    y = _combined(rng, signal + shifts, noise)
    y = _with_outliers(rng, y)
    y = _with_counts(rng, y)
    y = _with_limits(rng, y)
    y *= np.exp(rng.normal(0, 3, (count, 1)))
    if missing:
        y[_missing(rng, count, steps)] = np.nan
    return SyntheticSeries(y, seasons, second_seasons)


def _choose(rng: np.random.Generator, count: int, weights: list[float]) -> np.ndarray:
    """Return the number of an alternative for each series, drawn by weights."""
    return rng.choice(len(weights), count, p=np.array(weights) / sum(weights))


def _rare(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    """Return a flag for each series, (n, 1), set with a probability."""
    return rng.random((count, 1)) < share


def _draw_seasons(rng: np.random.Generator, count: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    possible = np.flatnonzero(np.maximum(2 * SEASONS, 1) <= max(steps, 2))
    weights = SEASON_WEIGHTS[possible] / SEASON_WEIGHTS[possible].sum()
    seasons = SEASONS[rng.choice(possible, count, p=weights)]
    other = rng.random(count) < 0.1
    seasons = np.where(other, rng.integers(2, max(3, min(60, steps // 3)), count), seasons)
    second = np.zeros(count, np.int64)
    for row in np.flatnonzero(rng.random(count) < 0.6):
        longer = [m for m in SECOND_SEASONS.get(int(seasons[row]), ()) if 3 * m <= 2 * steps]
        second[row] = rng.choice(longer) if longer else 0
    return seasons, second


# === Trends ===


def _trends(rng: np.random.Generator, count: int, steps: int) -> np.ndarray:
    """Return trends that change by about 1 over the series."""
    kind = _choose(rng, count, [2, 2, 1, 2, 1, 0.7, 3.5, 2])
    time = np.linspace(0, 1, steps)[None]
    slope = rng.normal(0, 1, (count, 1)) * np.exp(rng.normal(0.4, 1.0, (count, 1)))
    result = np.zeros((count, steps))
    for number, trend in enumerate(TRENDS, start=1):
        rows = kind == number
        if rows.any():
            result[rows] = slope[rows] * trend(rng, int(rows.sum()), time)
    return result


def _linear(rng: np.random.Generator, count: int, time: np.ndarray) -> np.ndarray:
    return np.repeat(time, count, axis=0)


def _damped(rng: np.random.Generator, count: int, time: np.ndarray) -> np.ndarray:
    return 1 - np.exp(-time * rng.uniform(1, 8, (count, 1)))


def _piecewise(rng: np.random.Generator, count: int, time: np.ndarray) -> np.ndarray:
    result = time * rng.normal(0, 1, (count, 1))
    for _ in range(4):
        result = result + np.maximum(time - rng.random((count, 1)), 0) * rng.normal(0, 1.5, (count, 1))
    return result


def _exponential(rng: np.random.Generator, count: int, time: np.ndarray) -> np.ndarray:
    return np.expm1(time * rng.uniform(0.5, 3, (count, 1))) / 3


def _logistic(rng: np.random.Generator, count: int, time: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(time - rng.random((count, 1))) * rng.uniform(5, 40, (count, 1))))


def _random_walk(rng: np.random.Generator, count: int, time: np.ndarray) -> np.ndarray:
    steps = time.shape[1]
    drift = rng.normal(0, 1, (count, 1)) * rng.choice([0.03, 0.2, 0.8], (count, 1))
    return np.cumsum(rng.normal(drift, 1, (count, steps)), axis=1) / np.sqrt(steps)


def _smooth_walk(rng: np.random.Generator, count: int, time: np.ndarray) -> np.ndarray:
    """Return sums of damped random walks: a local trend that changes slowly."""
    steps = time.shape[1]
    changes = _autoregression(rng.normal(0, 1, (count, steps)), rng.uniform(0.7, 0.99, (count, 1)), None)
    walk = np.cumsum(changes, axis=1)
    return walk / (1e-9 + walk.std(axis=1, keepdims=True))


TRENDS: tuple[Callable[[np.random.Generator, int, np.ndarray], np.ndarray], ...] = (
    _linear,
    _damped,
    _piecewise,
    _exponential,
    _logistic,
    _random_walk,
    _smooth_walk,
)


# === Seasons ===


def _all_seasons(rng: np.random.Generator, seasons: np.ndarray, second_seasons: np.ndarray, steps: int) -> np.ndarray:
    count = len(seasons)
    absent = rng.random(count) < 0.15
    first = _season(rng, np.where(absent, 1, seasons), steps)
    second = _season(rng, np.where(second_seasons > 0, second_seasons, 1), steps)
    return first + second * rng.uniform(0.1, 1.0, (count, 1))


def _season(rng: np.random.Generator, seasons: np.ndarray, steps: int) -> np.ndarray:
    """Return one season per series, with a random amplitude; 0 for series without one."""
    count, time = len(seasons), np.arange(steps)
    kind = _choose(rng, count, [3, 2.5, 1])
    phase = 2 * np.pi * (time / seasons[:, None] + rng.random((count, 1)))
    harmonics = np.zeros((count, steps))
    for number in range(1, MAX_HARMONICS + 1):
        size = rng.normal(0, 1, (count, 1)) * number ** -rng.uniform(0.5, 2.0, (count, 1))
        harmonics += size * np.sin(number * phase + rng.uniform(0, 2 * np.pi, (count, 1)))
    position = time % seasons[:, None]
    profile = rng.normal(0, 1, (count, int(seasons.max())))
    smooth = rng.random(count) < 0.4
    profile[smooth] = (profile + np.roll(profile, 1, axis=1) + np.roll(profile, 2, axis=1))[smooth]
    pulses = np.where(rng.random(profile.shape) < rng.uniform(0.05, 0.4, (count, 1)), 1 + 0.3 * profile, 0.0)
    kinds = [harmonics, np.take_along_axis(profile, position, 1), np.take_along_axis(pulses, position, 1)]
    season = np.choose(kind[:, None], kinds)
    deviation = season.std(axis=1, keepdims=True)
    amplitude = np.exp(rng.normal(-0.6, 1.0, (count, 1)))
    change = np.cumsum(rng.normal(0, 1, (count, steps)), axis=1) / np.sqrt(steps) * rng.uniform(0, 0.8, (count, 1))
    amplitude = amplitude * np.exp(np.where(_rare(rng, count, 0.3), change, 0.0))
    return np.where(seasons[:, None] > 1, amplitude * season / np.maximum(deviation, 1e-9), 0.0)


# === Noise ===


def _noise(rng: np.random.Generator, count: int, steps: int, seasons: np.ndarray) -> np.ndarray:
    """Return ARMA(2, 1) noise."""
    kind = _choose(rng, count, [4, 1, 1])[:, None]
    shape = (count, steps)
    shocks = np.choose(
        kind, [rng.normal(size=shape), rng.laplace(0, 0.7, shape), np.clip(rng.standard_t(3, shape), -12, 12) / 1.7]
    )
    shocks = shocks * _volatility(rng, count, steps, seasons)
    shocks[:, 1:] += np.where(_rare(rng, count, 0.3), rng.uniform(-0.8, 0.8, (count, 1)), 0.0) * shocks[:, :-1]
    first, second = _coefficients(rng, count)
    noise = _autoregression(shocks, first, second)
    noise = noise / np.maximum(noise.std(axis=1, keepdims=True), 1e-9)
    return noise * np.exp(rng.normal(-1.6, 1.1, (count, 1)))


def _coefficients(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of stationary AR(2) processes: white, persistent, or with a cycle."""
    kind = _choose(rng, count, [4, 4, 1.5])[:, None]
    root = rng.beta(4, 1.5, (count, 1)) * np.where(_rare(rng, count, 0.12), -0.8, 1.0)
    other = rng.uniform(-0.6, 0.8, (count, 1)) * _rare(rng, count, 0.4)
    radius, angle = rng.uniform(0.85, 0.995, (count, 1)), 2 * np.pi / rng.uniform(4, 60, (count, 1))
    zero = np.zeros((count, 1))
    first = np.choose(kind, [zero, root + other, 2 * radius * np.cos(angle)])
    return first, np.choose(kind, [zero, -root * other, -(radius**2)])


def _autoregression(shocks: np.ndarray, first: np.ndarray, second: np.ndarray | None) -> np.ndarray:
    """Return x_t = a x_{t-1} + b x_{t-2} + shock_t for each row."""
    x = np.array(shocks.T, order="C")
    a, b = first[:, 0], None if second is None else second[:, 0]
    for t in range(1, len(x)):
        x[t] += a * x[t - 1]
        if b is not None and t > 1:
            x[t] += b * x[t - 2]
    return x.T


def _volatility(rng: np.random.Generator, count: int, steps: int, seasons: np.ndarray) -> np.ndarray:
    """Return the standard deviation of the shocks of each step."""
    kind = _choose(rng, count, [5, 1, 1, 1])[:, None]
    ones = np.ones((count, steps))
    profile = np.exp(rng.normal(0, 0.8, (count, int(seasons.max()))))
    seasonal = np.take_along_axis(profile, np.arange(steps) % seasons[:, None], 1)
    clusters = np.exp(_autoregression(rng.normal(0, 0.15, (count, steps)), np.full((count, 1), 0.97), None))
    changed = np.arange(steps) > rng.uniform(0, steps, (count, 1))
    return np.choose(kind, [ones, seasonal, clusters, np.where(changed, np.exp(rng.normal(0, 1, (count, 1))), 1.0)])


# === Shifts, outliers, counts ===


def _shifts(rng: np.random.Generator, count: int, steps: int) -> np.ndarray:
    """Return shifts of the level: a few that stay, or two regimes that alternate."""
    rate = np.choose(_choose(rng, count, [7, 1.5, 0.5])[:, None], [0.0, 2.0, 6.0]) / steps
    jumps = (rng.random((count, steps)) < rate) * rng.normal(0, 1, (count, steps))
    switches = np.cumsum(rng.random((count, steps)) < rng.uniform(1, 8, (count, 1)) / steps, axis=1) % 2
    return np.cumsum(jumps, axis=1) + switches * rng.normal(0, 1, (count, 1)) * _rare(rng, count, 0.07)


def _combined(rng: np.random.Generator, signal: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the sums around a level, or the products."""
    count = len(signal)
    level = np.choose(_choose(rng, count, [2, 3, 3])[:, None], [0.0, 3.0, 10.0]) * rng.choice([1, 1, 1, -1], (count, 1))
    product = _rare(rng, count, 0.35)
    size = np.exp(rng.normal(-1.3, 0.6, (count, 1)))
    return np.where(product, np.exp(np.clip(size * (signal + noise), -8, 8)), level + signal + noise)


def _with_outliers(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    count, steps = y.shape
    hit = (rng.random(y.shape) < rng.uniform(0.5, 5, (count, 1)) / steps) & _rare(rng, count, 0.12)
    return y + hit * rng.normal(0, 6, y.shape) * np.abs(np.diff(y, axis=1, prepend=y[:, :1])).mean(1, keepdims=True)


def _with_counts(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    """Replace some series by counts, of which many are 0."""
    count = len(y)
    chosen = _rare(rng, count, 0.12)
    deviation = np.maximum(y.std(axis=1, keepdims=True), 1e-9)
    rate = np.exp(rng.normal(0.3, 1.5, (count, 1)) + np.clip((y - y.mean(1, keepdims=True)) / deviation * 0.6, -4, 4))
    rate = rate * np.where(_rare(rng, count, 0.4), rng.gamma(1.5, 1 / 1.5, y.shape), 1.0)
    drawn = rng.poisson(np.where(chosen, np.minimum(rate, 1e5), 0.0)).astype(np.float64)
    demanded = rng.random(y.shape) < np.where(_rare(rng, count, 0.5), rng.uniform(0.1, 0.9, (count, 1)), 1.0)
    return np.where(chosen, drawn * demanded, y)


def _with_limits(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    """Cut some series off at 0, as sunshine at night, and round some."""
    count = len(y)
    deviation = np.maximum(y.std(axis=1, keepdims=True), 1e-9)
    centered = np.maximum(y - y.mean(axis=1, keepdims=True) + rng.uniform(-0.5, 1, (count, 1)) * deviation, 0)
    y = np.where(_rare(rng, count, 0.04), centered, y)
    unit = deviation * rng.choice([0.05, 0.2, 0.5], (count, 1))
    return np.where(_rare(rng, count, 0.1), np.round(y / unit) * unit, y)


def _missing(rng: np.random.Generator, count: int, steps: int) -> np.ndarray:
    """Return a flag for each missing value; the first value of a series is present."""
    single = rng.random((count, steps)) < rng.uniform(0, 0.2, (count, 1)) * _rare(rng, count, 0.08)
    start, length = rng.integers(0, steps, (count, 1)), rng.geometric(3 / max(steps, 4), (count, 1))
    time = np.arange(steps)
    stretch = (time >= start) & (time < start + length) & _rare(rng, count, 0.06)
    result = single | stretch
    result[:, 0] = False
    return result
