"""`detect_season`: the season of series without time stamps, from their autocorrelation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MAX_SERIES, MAX_STEPS, MAX_SEASON = 50, 4_000, 400
MIN_SEASONS, MIN_CORRELATION = 3, 0.3


def detect_season(series: Sequence[np.ndarray]) -> int:
    """Return the steps of the season of most series, or 1 if there is none.

    The season of a series is the lag with the highest autocorrelation of its differences, if that is at least 0.3, a
    local maximum, and occurs three times in the series.

        r_k = Σ_t d_t d_{t-k} / Σ_t d_t²,    d_t = y_t - y_{t-1}

    Args:
        series: Values of each series, NaN where they are missing.

    >>> import numpy as np
    >>> from deeprnn_keras.forecasting.season_detection import detect_season
    >>> detect_season([np.sin(2 * np.pi * np.arange(100) / 12)]), detect_season([np.arange(20.0)])
    (12, 1)
    """
    found = np.array([_season(values[-MAX_STEPS:]) for values in series[:MAX_SERIES]])
    seasons, counts = np.unique(found, return_counts=True)
    return int(seasons[np.argmax(counts)])


def _season(values: np.ndarray) -> int:
    observed = np.flatnonzero(~np.isnan(values))
    longest = min(MAX_SEASON, len(values) // MIN_SEASONS)
    if len(observed) < 2 or longest < 2:
        return 1
    differences = np.diff(np.interp(np.arange(len(values)), observed, values[observed]))
    differences = differences - differences.mean()
    power = np.abs(np.fft.rfft(differences, 2 * len(differences))) ** 2
    correlation = np.fft.irfft(power)[: longest + 2]
    if correlation[0] <= 1e-12 * np.square(values[observed]).sum():
        return 1
    correlation = correlation / correlation[0] * len(differences) / (len(differences) - np.arange(len(correlation)))
    inner = correlation[2:-1]
    peaks = (inner >= correlation[1:-2]) & (inner >= correlation[3:]) & (inner >= MIN_CORRELATION)
    if not peaks.any():
        return 1
    highest = inner[peaks].max()
    return 2 + int(np.flatnonzero(peaks & (inner >= 0.9 * highest))[0])  # a multiple of the season correlates as well
