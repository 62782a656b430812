"""Calendar features of time stamps: the position in the day, the week, and the year, as points on circles."""

from __future__ import annotations

import numpy as np

from deeprnn_keras.forecasting.frequency import Frequency

HOUR, DAY = np.timedelta64(1, "h"), np.timedelta64(1, "D")
MONDAY = np.datetime64("1969-12-29")  # a Monday before the epoch, the start of the first week


CYCLES = {"day": 1.0, "week": 7.0, "year": 365.25}  # days
MIN_CYCLES = 2  # that a series must have for a cycle to be learned; on a single one, its position is a time stamp
RESOLVED = 0.8  # of a cycle, above which a step does not resolve the position in it


def calendar_cycles(frequency: Frequency, length: int) -> tuple[str, ...]:
    """Return the cycles that a frequency resolves and of which the longest series has at least two.

    Args:
        frequency: Grid of time steps; integers have no cycles.
        length: Number of steps of the longest series.

    Returns:
        Some of "day", "week", "year".

    >>> from deeprnn_keras.forecasting.calendar_features import calendar_cycles
    >>> from deeprnn_keras.forecasting.frequency import Frequency
    >>> calendar_cycles(Frequency("month", 1), 36), calendar_cycles(Frequency("month", 1), 12)
    (('year',), ())
    """
    days = frequency.days
    resolved = (name for name, cycle in CYCLES.items() if 0 < days < RESOLVED * cycle)
    return tuple(name for name in resolved if length * days >= MIN_CYCLES * CYCLES[name])


def calendar_features(times: np.ndarray, cycles: tuple[str, ...]) -> np.ndarray:
    """Return the sine and cosine of the position in each cycle.

        (sin 2π φ, cos 2π φ),  φ in [0, 1)

    Args:
        times: Local times, datetime64, of any shape (...).
        cycles: Result of `calendar_cycles`.

    Returns:
        The features, float32, (..., 2 len(cycles)).
    """
    features = np.empty((*times.shape, 2 * len(cycles)), np.float32)
    for number, cycle in enumerate(cycles):
        angle = 2 * np.pi * _POSITIONS[cycle](times)
        features[..., 2 * number], features[..., 2 * number + 1] = np.sin(angle), np.cos(angle)
    return features


def _position_in_day(times: np.ndarray) -> np.ndarray:
    return (times - times.astype("datetime64[D]")) / DAY


def _position_in_week(times: np.ndarray) -> np.ndarray:
    return (times - MONDAY) / DAY / 7 % 1


def _position_in_year(times: np.ndarray) -> np.ndarray:
    years = times.astype("datetime64[Y]")
    start, end = years.astype("datetime64[D]"), (years + 1).astype("datetime64[D]")
    return (times - start) / (end - start).astype("timedelta64[ns]")


_POSITIONS = {"day": _position_in_day, "week": _position_in_week, "year": _position_in_year}
