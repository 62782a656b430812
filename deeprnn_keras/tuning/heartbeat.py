"""Heartbeat that a worker sends to the chief while it runs a trial."""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras_tuner


class Heartbeat:
    """Thread that requests the running trial from the chief at regular intervals; each request is a heartbeat.

    Args:
        oracle: The client of the chief's oracle.
        trial_id: The running trial.
    """

    INTERVAL_SECONDS = 5.0

    def __init__(self, oracle: keras_tuner.Oracle, trial_id: str) -> None:
        self._oracle, self._trial_id, self._stopped = oracle, trial_id, threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self._stopped.wait(self.INTERVAL_SECONDS):
            try:
                self._oracle.get_trial(self._trial_id)
            except Exception:
                traceback.print_exc()  # if the chief has exited, the worker's main thread fails at its next request
                return

    def stop(self) -> None:
        """Stop the heartbeat."""
        self._stopped.set()
