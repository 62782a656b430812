"""Calibration of intervals on the windows that are held out for early stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras.forecasting.evaluation import INTERVAL, network_quantiles
from deeprnn_keras.forecasting.windows import WindowCutter

if TYPE_CHECKING:
    from deeprnn_keras.forecasting.forecaster import Forecaster

MAX_WINDOWS, MIN_VALUES, SAMPLES = 512, 100, 100
MAX_SPREAD = 4.0


def calibrated_spread(forecaster: Forecaster, cutter: WindowCutter, origins: np.ndarray) -> float:
    """Return the factor of the distances from the median with which the 80% interval covers 80% of held-out values.

    A network that has seen a short series is more certain than it is right. Intervals are only widened, because the
    held-out values have also chosen the best epoch.

    Args:
        forecaster: The trained forecaster, whose factor is 1.
        cutter: Cutter of windows of the training data.
        origins: Origins of the held-out windows.

    Returns:
        The factor, from 1 to 4; 1 for counts, without intervals, and for fewer than 100 held-out values.
    """
    likelihood = forecaster.likelihood
    if likelihood.counts or not likelihood.has_quantiles or not len(origins):
        return 1.0
    chosen = origins[np.linspace(0, len(origins) - 1, min(len(origins), MAX_WINDOWS)).astype(np.int64)]
    y = cutter.panel.y[chosen[:, None] + np.arange(cutter.horizon)]
    low, high = INTERVAL
    if not _supports(forecaster, low) or not _supports(forecaster, high) or np.sum(~np.isnan(y)) < MIN_VALUES:
        return 1.0
    quantiles = network_quantiles(forecaster, cutter, chosen, (low, 0.5, high), SAMPLES, forecaster.arguments.seed)
    return spread_of(y, *np.moveaxis(quantiles, 2, 0))


def spread_of(y: np.ndarray, low: np.ndarray, median: np.ndarray, high: np.ndarray) -> float:
    """Return the factor for values and the bounds of their 80% intervals.

    >>> import numpy as np
    >>> from deeprnn_keras.forecasting.calibration import spread_of
    >>> bounds = -np.ones(10), np.zeros(10), np.ones(10)
    >>> round(spread_of(np.arange(1.0, 11) / 4, *bounds), 2)                  # 2.05 is above 8 of 10 values
    2.05
    """
    error = y - median
    distance = np.where(error > 0, high - median, median - low)
    usable = ~np.isnan(y) & (distance > 0)
    if not usable.any():
        return 1.0
    ratio = np.quantile(np.abs(error[usable]) / distance[usable], INTERVAL[1] - INTERVAL[0])
    return float(np.clip(ratio, 1.0, MAX_SPREAD))


def _supports(forecaster: Forecaster, probability: float) -> bool:
    """Return False if a likelihood of quantiles was not trained on ones as extreme as this."""
    known = getattr(forecaster.likelihood, "probabilities", (0.0, 1.0))
    return known[0] <= min(probability, 0.5) and max(probability, 0.5) <= known[-1]
