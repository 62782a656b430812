"""Time budget of a search that may be interrupted and resumed."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TypedDict

from deeprnn_keras._types import PathLike
from deeprnn_keras.reading import read_record
from deeprnn_keras.writing import save_json

STORE_INTERVAL_SECONDS = 5.0


class ElapsedTime(TypedDict):
    """Content of the file."""

    seconds: float


class TimeBudget:
    """Elapsed and remaining time of a search, over all its runs, including killed ones.

    Args:
        minutes: Total time; None for no limit.
        file: JSON file in which the elapsed time is stored.

    >>> from deeprnn_keras.tuning.time_budget import TimeBudget
    >>> TimeBudget(None, "time.json").remaining(0.5)
    inf
    """

    def __init__(self, minutes: float | None, file: PathLike) -> None:
        self.minutes, self._file = minutes, Path(file)
        self._started_at = self._stored_at = time.time()
        self._previous_seconds = 0.0
        if self._file.exists():
            self._previous_seconds = read_record(self._file, ElapsedTime, "the elapsed time")["seconds"]

    def elapsed(self) -> float:
        """Return the seconds elapsed in all runs."""
        return self._previous_seconds + time.time() - self._started_at

    def remaining(self, fraction: float = 1.0) -> float:
        """Return the seconds until this fraction of the total time has elapsed."""
        return math.inf if self.minutes is None else max(fraction * 60 * self.minutes - self.elapsed(), 0.0)

    def store(self, now: bool = False) -> None:
        """Store the elapsed time: immediately if `now`, otherwise at most every 5 s."""
        if now or time.time() - self._stored_at > STORE_INTERVAL_SECONDS:
            self._stored_at = time.time()
            save_json({"seconds": self.elapsed()}, self._file)
