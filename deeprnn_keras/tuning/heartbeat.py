"""A worker's signs of life."""

import os
import threading
import traceback


def is_worker():
    """Whether this process asks a chief for its trials."""
    return "KERASTUNER_ORACLE_IP" in os.environ and "chief" not in os.environ.get("KERASTUNER_TUNER_ID", "")


class Heartbeat:
    """Asks the chief for the running trial now and then, so that it knows of its worker."""

    SECONDS = 5.0

    def __init__(self, oracle, trial_id):
        self._oracle, self._trial_id, self._over = oracle, trial_id, threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while not self._over.wait(self.SECONDS):
            try:
                self._oracle.get_trial(self._trial_id)
            except Exception:
                traceback.print_exc()  # a chief that is gone ends the worker at its next word
                return

    def stop(self):
        """Falls silent."""
        self._over.set()
