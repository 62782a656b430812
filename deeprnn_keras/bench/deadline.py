"""Worker processes with a deadline, for measurements that must end in time."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from typing_extensions import override

from deeprnn_keras.bench.alternate import WorkerPool
from deeprnn_keras.bench.process import StartWorker, WorkerError, WorkerProcess
from deeprnn_keras.bench.results import Figures


class DeadlineReachedError(Exception):
    """Request that the deadline has refused or interrupted."""


class TimedWorkerPool(WorkerPool):
    """Pool whose requests end at a deadline: the worker of a request that is still running is killed.

    Args:
        seconds: Time until the deadline.
        start: Function that starts the worker of an implementation.
    """

    def __init__(self, seconds: float, start: StartWorker = WorkerProcess) -> None:
        super().__init__(start)
        self._deadline = time.monotonic() + seconds

    @property
    def remaining_seconds(self) -> float:
        """Time until the deadline, at least 0."""
        return max(0.0, self._deadline - time.monotonic())

    @override
    def request(self, name: str, operation: str, **arguments: object) -> Figures:
        """Return the response of the worker of implementation `name`.

        Raises:
            DeadlineReachedError: If the deadline has passed, or passes during the request.
            WorkerError: If the operation fails or the worker dies.
        """
        message = f"{operation!r} of {name} was not completed in time"
        if not self.remaining_seconds:
            raise DeadlineReachedError(message)
        timer = threading.Timer(self.remaining_seconds, self.kill, [name])
        timer.start()
        try:
            return super().request(name, operation, **arguments)
        except WorkerError as error:
            if self.remaining_seconds:
                raise
            raise DeadlineReachedError(message) from error
        finally:
            timer.cancel()

    def kill(self, name: str) -> None:
        """Kill the worker of an implementation from another thread, if it is running."""
        with suppress(KeyError):  # it ended in the meantime
            self._processes[name].kill()

    def kill_all(self) -> None:
        """Kill all workers, so that requests of other threads end."""
        for name in list(self._processes):
            self.kill(name)

    def stop(self, name: str) -> None:
        """End the worker of an implementation, which releases its memory."""
        process = self._processes.pop(name, None)
        if process is not None:
            process.close()
