"""`Clock`: how much of the time that was given is left, over all runs of a search."""

import json
import math
import time
from pathlib import Path

from deeprnn_keras.training.files import save_json

NOTE_SECONDS = 5.0


class Clock:
    """Counts the time of a search from its first run on, that of runs that were killed included.

    Args:
        minutes: in all; None: no limit.
        file: where the time is noted.

    >>> from deeprnn_keras.tuning.time_budget import Clock
    >>> Clock(None, "clock.json").left(0.5)
    inf
    """

    def __init__(self, minutes, file):
        self.minutes, self._file = minutes, Path(file)
        self._began = self._noted = time.time()
        self._before = json.loads(self._file.read_text(encoding="utf-8"))["seconds"] if self._file.exists() else 0.0

    def spent(self):
        """Seconds, over all runs."""
        return self._before + time.time() - self._began

    def left(self, share=1.0):
        """Seconds until this share of the time is over."""
        return math.inf if self.minutes is None else max(share * 60 * self.minutes - self.spent(), 0.0)

    def note(self, now=False):
        """Writes down how much is spent, every few seconds or now."""
        if now or time.time() - self._noted > NOTE_SECONDS:
            self._noted = time.time()
            save_json({"seconds": self.spent()}, self._file)
