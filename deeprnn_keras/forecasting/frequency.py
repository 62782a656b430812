"""`Frequency`: the grid of time steps of series, inferred from their time stamps."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.forecasting.time_zones import to_local, to_utc

SECOND, MINUTE, HOUR, DAY = 10**9, 60 * 10**9, 3_600 * 10**9, 86_400 * 10**9
SHORTEST_MONTH = 28 * DAY
FRIDAY_TO_MONDAY = 3 * DAY
FIXED_UNITS = {"s": SECOND, "min": MINUTE, "h": HOUR, "D": DAY, "W": 7 * DAY}
MONTH_UNITS = {"M": 1, "Q": 3, "Y": 12}
NAMES = re.compile(r"(\d*)(s|min|h|D|W|B|(?:[MQY])(?=[SE]?$))[SE]?$")
SUPPORTED = "s, min, h, D, W, B, M, Q, or Y, with a number before it where the step is longer, for example '15min'"


@dataclass(frozen=True)
class Frequency:
    """Grid of time steps: step k is a time stamp, and a time stamp of the grid is a step.

    Attributes:
        unit: "fixed" for equal durations, "month", "business day" for Monday to Friday, or "integer".
        step: Length of a step: nanoseconds, months, or integers; 1 for business days.
        phase: Position of step 0 in the unit: nanoseconds after the epoch, months after January 1970, or an integer.
        offset: Nanoseconds from the start of the month or day to the time stamp; negative from the start of the next
            month.
        zone: Time zone of the time stamps, or None.
        local: True if steps are equal in local time rather than in UTC, as days of 23 or 25 hours are.

    >>> import numpy as np
    >>> from deeprnn_keras.forecasting.frequency import infer_frequency
    >>> days = np.array(["2024-02-28", "2024-02-29", "2024-03-01"], "datetime64[ns]")
    >>> frequency = infer_frequency(days, np.array([0, 3]), lambda row: f"row {row}")
    >>> str(frequency), frequency.season, frequency.steps(days).tolist()
    ('1 day', 7, [0, 1, 2])
    """

    unit: str
    step: int
    phase: int = 0
    offset: int = 0
    zone: str | None = None
    local: bool = False

    def steps(self, times: np.ndarray) -> np.ndarray:
        """Return the steps of time stamps, int64; -2**63 for those that are not on the grid.

        Args:
            times: UTC, datetime64[ns], or integers.
        """
        count, on_grid = _COUNTS[self.unit](self, self._grid_times(times))
        quotient, remainder = np.divmod(count - self.phase, self.step)
        return np.where(on_grid & (remainder == 0), quotient, np.iinfo(np.int64).min)

    def times(self, steps: np.ndarray) -> np.ndarray:
        """Return the time stamps of steps: UTC, datetime64[ns], or integers."""
        times = _TIMES[self.unit](self, steps * self.step + self.phase)
        return to_utc(times, self.zone) if self.local else times

    def local_times(self, steps: np.ndarray) -> np.ndarray:
        """Return the local time stamps of steps, for calendar features."""
        times = _TIMES[self.unit](self, steps * self.step + self.phase)
        return times if self.local else to_local(times, self.zone)

    def _grid_times(self, times: np.ndarray) -> np.ndarray:
        return to_local(times, self.zone) if self.local else times

    @property
    def season(self) -> int:
        """Number of steps of the season that is usual for the frequency; 1 if there is none.

        The season is a day below one day, else a week or a year; for steps below one minute it is an hour.
        """
        if self.unit == "month":
            return 12 // self.step if 12 % self.step == 0 else 1
        if self.unit in ("integer", "business day"):
            return 5 if self.unit == "business day" else 1
        if self.step == 7 * DAY:
            return 52
        cycle = HOUR if self.step < MINUTE else DAY if self.step < DAY else 7 * DAY
        return cycle // self.step if cycle % self.step == 0 else 1

    @property
    def days(self) -> float:
        """Mean length of a step in days; 0 for integers."""
        return {"fixed": self.step / DAY, "month": self.step * 365.25 / 12, "business day": 7 / 5, "integer": 0.0}[
            self.unit
        ]

    @property
    def week(self) -> int:
        """Number of steps of a week for steps below one day, else 0."""
        is_shorter = self.unit == "fixed" and self.step < DAY and 7 * DAY % self.step == 0
        return 7 * DAY // self.step if is_shorter else 0

    def __str__(self) -> str:
        if self.unit == "business day":
            return "1 business day"
        size, name = self.step, self.unit
        if self.unit == "integer":
            return "steps of 1" if size == 1 else f"steps of {size}"
        if self.unit == "fixed":
            units = ((7 * DAY, "week"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second"))
            length, name = next((one for one in units if size % one[0] == 0), (1, "nanosecond"))
            size //= length
        return f"{size} {name}{'s' if size > 1 else ''}"


# === Counts of units, and back ===


def _fixed_count(frequency: Frequency, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = times.astype("datetime64[ns]").astype(np.int64)
    return count, np.ones(count.shape, bool)


def _integer_count(frequency: Frequency, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return times.astype(np.int64), np.ones(times.shape, bool)


def _month_count(frequency: Frequency, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    months = times.astype("datetime64[M]").astype(np.int64)
    expected = _month_times(frequency, months)
    return months, expected == times.astype("datetime64[ns]")


def _business_count(frequency: Frequency, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    days = times.astype("datetime64[D]")
    on_grid = np.is_busday(days) & ((times - days).astype("timedelta64[ns]").astype(np.int64) == frequency.offset)
    return np.busday_count("1970-01-01", days).astype(np.int64), on_grid


def _fixed_times(frequency: Frequency, count: np.ndarray) -> np.ndarray:
    return count.astype("datetime64[ns]")


def _integer_times(frequency: Frequency, count: np.ndarray) -> np.ndarray:
    return count


def _month_times(frequency: Frequency, count: np.ndarray) -> np.ndarray:
    months = (count + (frequency.offset < 0)).astype("datetime64[M]").astype("datetime64[ns]")
    return months + np.timedelta64(frequency.offset, "ns")


def _business_times(frequency: Frequency, count: np.ndarray) -> np.ndarray:
    days = np.busday_offset("1970-01-01", count, roll="forward").astype("datetime64[ns]")
    return days + np.timedelta64(frequency.offset, "ns")


_COUNTS: dict[str, Callable[[Frequency, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "fixed": _fixed_count,
    "integer": _integer_count,
    "month": _month_count,
    "business day": _business_count,
}
_TIMES: dict[str, Callable[[Frequency, np.ndarray], np.ndarray]] = {
    "fixed": _fixed_times,
    "integer": _integer_times,
    "month": _month_times,
    "business day": _business_times,
}


# === Inference ===

Locate = Callable[[int], str]
"""Function from the number of a row to its description, for an error message."""


def infer_frequency(
    times: np.ndarray, bounds: np.ndarray, locate: Locate, *, zone: str | None = None, given: str | int | None = None
) -> Frequency:
    """Return the frequency of series.

    Args:
        times: Time stamps of all series, each ascending without duplicates: UTC, datetime64[ns], or integers.
        bounds: Index of the first row of each series, and the number of rows.
        locate: Function from the number of a row to its description.
        zone: Time zone of the time stamps.
        given: Frequency to use: a name such as "h" or "15min", or the step of integers; None to infer it.

    Raises:
        ValueError: If the time stamps are not on a grid; the message names the first that is not.
    """
    gaps = _gaps(times, bounds)
    if given is None and not len(gaps):
        raise ValueError("no frequency follows from series of one row; pass frequency, for example 'D'")
    if times.dtype.kind in "iu":
        step = int(gaps.min()) if given is None else checks.positive_int("frequency", given)
        return _checked(Frequency("integer", step, int(times[0])), times, locate)
    if given is not None:
        return _checked(_anchored(_named(given, zone), times), times, locate)
    candidates = [_anchored(one, times) for one in _candidates(times, gaps, zone)]
    for candidate in candidates:
        if np.all(candidate.steps(times) > np.iinfo(np.int64).min):
            return candidate
    return _checked(candidates[0], times, locate)


def _gaps(times: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return the differences of consecutive rows of a series."""
    kind = np.int64 if times.dtype.kind in "iu" else "timedelta64[ns]"
    differences = np.diff(times).astype(kind).astype(np.int64)
    within = np.ones(len(differences), bool)
    within[bounds[1:-1] - 1] = False
    return differences[within]


def _candidates(times: np.ndarray, gaps: np.ndarray, zone: str | None) -> list[Frequency]:
    """Return frequencies that the gaps suggest, the most specific first; the fallback is the most common gap."""
    smallest = int(gaps.min())
    values, counts = np.unique(gaps, return_counts=True)
    common = int(values[np.argmax(counts)])
    if smallest >= SHORTEST_MONTH - HOUR:
        months = to_local(times, zone).astype("datetime64[M]").astype(np.int64)
        month_gaps = np.diff(months)
        step = int(np.gcd.reduce(month_gaps[month_gaps > 0])) if np.any(month_gaps > 0) else 1
        calendar = [Frequency("month", step, zone=zone, local=zone is not None)]
        return [*calendar, Frequency("fixed", smallest, zone=zone)]
    found = [Frequency("fixed", smallest, zone=zone)]
    if zone is not None and abs(common % DAY) == 0:
        found.append(Frequency("fixed", common, zone=zone, local=True))
    if common == DAY and FRIDAY_TO_MONDAY in values:
        found.insert(0, Frequency("business day", 1, zone=zone, local=zone is not None))
    if common != smallest:
        found.insert(len(found), Frequency("fixed", common, zone=zone))
    return found


def _named(name: str | int, zone: str | None) -> Frequency:
    match = NAMES.match(name) if isinstance(name, str) else None
    if match is None:
        raise ValueError(f"frequency must be {SUPPORTED}, got {name!r}")
    number, unit = int(match[1] or 1), match[2]
    if number < 1 or (unit == "B" and number > 1):
        raise ValueError(f"frequency must be {SUPPORTED}, got {name!r}")
    local = zone is not None
    if unit == "B":
        return Frequency("business day", 1, zone=zone, local=local)
    if unit in MONTH_UNITS:
        return Frequency("month", number * MONTH_UNITS[unit], zone=zone, local=local)
    return Frequency("fixed", number * FIXED_UNITS[unit], zone=zone, local=local and FIXED_UNITS[unit] >= DAY)


def _anchored(frequency: Frequency, times: np.ndarray) -> Frequency:
    """Return the frequency with the phase and the offset of the first time stamp."""
    first = times[:1]
    local = to_local(times, frequency.zone) if frequency.local else times
    if frequency.unit == "month":
        frequency = replace(frequency, offset=_month_offset(local))
    elif frequency.unit == "business day":
        start = local[:1].astype("datetime64[D]")
        frequency = replace(frequency, offset=int((local[:1] - start).astype("timedelta64[ns]").astype(np.int64)[0]))
    first = local[:1]
    count, _ = _COUNTS[frequency.unit](frequency, first)
    return replace(frequency, phase=int(count[0]))


def _month_offset(local: np.ndarray) -> int:
    """Return the offset from the start of the month, or, for the ends of months, from the start of the next one."""
    months = local.astype("datetime64[M]")
    after = (local - months.astype("datetime64[ns]")).astype("timedelta64[ns]").astype(np.int64)
    before = (local - (months + 1).astype("datetime64[ns]")).astype("timedelta64[ns]").astype(np.int64)
    is_end = np.all(before == before[0]) and not np.all(after == after[0])
    return int(before[0] if is_end else after[0])


def _checked(frequency: Frequency, times: np.ndarray, locate: Locate) -> Frequency:
    """Return a frequency.

    Raises:
        ValueError: If a time stamp is not on its grid.
    """
    outside = np.flatnonzero(frequency.steps(times) == np.iinfo(np.int64).min)
    if len(outside):
        raise ValueError(
            f"{len(outside)} of {len(times)} time stamps are not multiples of {frequency} after "
            f"{format_time(times[0], frequency.zone)}: the first is "
            f"{format_time(times[outside[0]], frequency.zone)} at {locate(int(outside[0]))}; correct or resample the "
            "series, or pass frequency"
        )
    return frequency


def format_time(time: Any, zone: str | None = None) -> str:  # noqa: ANN401 - of NumPy
    """Return a time stamp as text, in local time, without trailing zeros: "2024-01-01", "2024-01-01 06:00"."""
    if not isinstance(time, np.datetime64):
        return str(time)
    local = to_local(np.array([time]), zone)[0].astype("datetime64[s]")
    day, _, clock = str(local).partition("T")
    return day if clock == "00:00:00" else f"{day} {clock.removesuffix(':00')}"
