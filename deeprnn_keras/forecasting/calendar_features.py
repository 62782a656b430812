"""Calendar features of time stamps: the position in the day, the week, and the year, as points on circles."""

from __future__ import annotations

import numpy as np

from deeprnn_keras.forecasting.frequency import Frequency

HOUR, DAY = np.timedelta64(1, "h"), np.timedelta64(1, "D")
MONDAY = np.datetime64("1969-12-29")  # a Monday before the epoch, the start of the first week


def calendar_cycles(frequency: Frequency) -> tuple[str, ...]:
    """Return the cycles that a frequency resolves: "day", "week", "year"; none for integer steps.

    >>> from deeprnn_keras.forecasting.calendar_features import calendar_cycles
    >>> from deeprnn_keras.forecasting.frequency import Frequency
    >>> calendar_cycles(Frequency("month", 1))
    ('year',)
    """
    if frequency.unit in ("month", "business day"):
        cycles = ("week",) if frequency.unit == "business day" else ()
        return (*cycles, "year") if frequency.unit == "business day" or frequency.step < 12 else ()
    if frequency.unit == "integer":
        return ()
    days = frequency.step / 86_400e9
    lengths = {"day": 1.0, "week": 7.0, "year": 300.0}
    return tuple(cycle for cycle, length in lengths.items() if days < length)


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
