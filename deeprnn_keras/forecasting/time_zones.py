"""Conversion between UTC and the local time of a zone for arrays of time stamps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

QUARTER_HOUR = np.timedelta64(15, "m").astype("timedelta64[ns]").astype(np.int64)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_local(utc: np.ndarray, zone: str | None) -> np.ndarray:
    """Return UTC as local time without zone, datetime64[ns]; unchanged if `zone` is None.

    Offsets change at multiples of 15 minutes, so that one offset is looked up per quarter of an hour.

    >>> import numpy as np
    >>> from deeprnn_keras.forecasting.time_zones import to_local
    >>> str(to_local(np.array(["2024-07-01T10:30"], "datetime64[ns]"), "Europe/Berlin")[0])[:16]
    '2024-07-01T12:30'
    """
    return utc if zone is None else utc + _offsets(utc, zone)


def to_utc(local: np.ndarray, zone: str | None) -> np.ndarray:
    """Return local time as UTC; unchanged if `zone` is None. Of two equal local times, the later one is taken."""
    if zone is None:
        return local
    guess = local - _offsets(local, zone)
    return local - _offsets(guess, zone)


def is_zone(name: str) -> bool:
    """Return whether the data base of time zones has a zone; offsets such as "UTC+01:00" are not in it."""
    try:
        ZoneInfo(name)
    except (ValueError, ZoneInfoNotFoundError):
        return False
    return True


def _offsets(utc: np.ndarray, zone: str) -> np.ndarray:
    info = ZoneInfo(zone)
    quarters, inverse = np.unique(utc.astype("datetime64[ns]").astype(np.int64) // QUARTER_HOUR, return_inverse=True)
    minutes = [_offset(info, int(quarter)) for quarter in quarters]
    return np.array(minutes, "timedelta64[m]")[inverse.reshape(utc.shape)].astype("timedelta64[ns]")


def _offset(info: ZoneInfo, quarter: int) -> int:
    """Return the offset from UTC in minutes."""
    offset = (EPOCH + timedelta(minutes=15 * quarter)).astimezone(info).utcoffset()
    return 0 if offset is None else round(offset.total_seconds() / 60)
