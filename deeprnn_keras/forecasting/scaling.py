"""Scaling of series: statistics of the values up to the forecast origin, never of later ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from deeprnn_keras import checks

SCALINGS = ("window", "series")
MAX_GROUP = 1 << 20  # steps that are computed at once; bounds the memory for many series
SCALERS = ("mean", "standard", "robust")
Statistics = tuple[np.ndarray, np.ndarray]
"""Shift and scale: a value is scaled as (y - shift) / scale."""


def check_scaling(scaling: str | None, scaler: str) -> None:
    """Raise a ValueError if a combination of `scaling` and `scaler` is not supported."""
    checks.one_of("scaler", scaler, SCALERS)
    if scaling is not None:
        checks.one_of("scaling", scaling, SCALINGS)
    if (scaling, scaler) == ("series", "robust"):
        raise ValueError(
            "scaler='robust' is not supported with scaling='series', because a running median needs the whole history; "
            "use scaling='window', or scaler='standard' or 'mean'"
        )


def window_statistics(context: np.ndarray, scaler: str) -> Statistics:
    """Return the statistics of each row over its observed values.

        mean:      shift 0,         scale mean |y|
        standard:  shift mean(y),   scale standard deviation
        robust:    shift median(y), scale median |y - median(y)|

    A scale of 0 is replaced: that of "robust" by the mean absolute deviation, and a remaining 0 by the mean of |y|, or
    1 if all values are 0.

    Args:
        context: Values, (n, T), NaN where missing.
        scaler: "mean", "standard", or "robust".

    Returns:
        The shift and the scale, (n,) each; 0 and 1 for rows without observed values.
    """
    observed = ~np.isnan(context)
    count = np.maximum(observed.sum(axis=1), 1)
    values = np.where(observed, context, 0.0)
    mean_absolute = np.abs(values).sum(axis=1) / count
    shift, scale = _WINDOW_STATISTICS[scaler](context, values, observed, count)
    return shift, positive_scale(scale, mean_absolute)


def running_statistics(y: np.ndarray, bounds: np.ndarray, scaler: str) -> Statistics:
    """Return the statistics of each series from its start up to and including each step, (values,) each.

    Args:
        y: Concatenated values, NaN where missing.
        bounds: Index of the first value of each series, and the number of values.
        scaler: "mean" or "standard".
    """
    shift, scale = np.empty(len(y)), np.empty(len(y))
    for starts, ends in _groups_of_similar_length(bounds):
        rows = starts[:, None] + np.arange(np.max(ends - starts))
        within = rows < ends[:, None]
        values = np.where(within, y[np.minimum(rows, len(y) - 1)], np.nan)
        places = rows[within]
        shift[places], scale[places] = (statistic[within] for statistic in _prefix_statistics(values, scaler))
    return shift, scale


def _groups_of_similar_length(bounds: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield bounds of groups of series whose lengths differ by less than a factor of 2, of limited size."""
    lengths = np.diff(bounds)
    exponents = np.ceil(np.log2(np.maximum(lengths, 1)))
    for exponent in np.unique(exponents):
        series = np.flatnonzero(exponents == exponent)
        size = max(1, int(MAX_GROUP / 2**exponent))
        for first in range(0, len(series), size):
            group = series[first : first + size]
            yield bounds[group], bounds[group + 1]


def _prefix_statistics(y: np.ndarray, scaler: str) -> Statistics:
    """Return the statistics of each row up to and including each column, (series, steps) each."""
    observed = ~np.isnan(y)
    values = np.where(observed, y, 0.0)
    total = np.cumsum(observed, axis=1)
    count = np.maximum(total, 1)
    mean_absolute = np.cumsum(np.abs(values), axis=1) / count
    if scaler == "mean":
        return np.zeros(y.shape), positive_scale(mean_absolute, mean_absolute)
    first = np.take_along_axis(values, np.argmax(observed, axis=1)[:, None], axis=1)
    centered = np.where(
        observed, values - first, 0.0
    )  # sums of differences from a value lose no digits of the variance
    mean = np.cumsum(centered, axis=1) / count
    deviation = np.sqrt(np.maximum(np.cumsum(np.square(centered), axis=1) / count - np.square(mean), 0.0))
    deviation = np.where(deviation > 1e-7 * np.abs(mean), deviation, 0.0)
    return np.where(total > 0, mean + first, 0.0), positive_scale(deviation, mean_absolute)


def positive_scale(scale: np.ndarray, mean_absolute: np.ndarray) -> np.ndarray:
    """Return the scale, with 0 replaced by the mean of |y|, or by 1 if that is 0, too."""
    return np.where(scale > 0, scale, np.where(mean_absolute > 0, mean_absolute, 1.0))


def _mean_absolute(context: np.ndarray, values: np.ndarray, observed: np.ndarray, count: np.ndarray) -> Statistics:
    return np.zeros(len(values)), np.abs(values).sum(axis=1) / count


def _standard(context: np.ndarray, values: np.ndarray, observed: np.ndarray, count: np.ndarray) -> Statistics:
    mean = values.sum(axis=1) / count
    centered = np.where(observed, values - mean[:, None], 0.0)
    deviation = np.sqrt(np.square(centered).sum(axis=1) / count)
    return mean, np.where(deviation > 1e-7 * np.abs(mean), deviation, 0.0)


def _robust(context: np.ndarray, values: np.ndarray, observed: np.ndarray, count: np.ndarray) -> Statistics:
    filled = np.where(observed.any(axis=1, keepdims=True), context, 0.0)  # a row without values has no median
    median = np.nanmedian(filled, axis=1)
    deviations = np.abs(filled - median[:, None])
    absolute, mean = np.nanmedian(deviations, axis=1), np.nanmean(deviations, axis=1)
    return median, np.where(absolute > 0, absolute, mean)


_WINDOW_STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Statistics]] = {
    "mean": _mean_absolute,
    "standard": _standard,
    "robust": _robust,
}
