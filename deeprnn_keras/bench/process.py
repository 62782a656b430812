"""`WorkerProcess`: a worker that receives requests and sends responses as lines of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import IO, Self, TypeAlias

from deeprnn_keras import checks
from deeprnn_keras._types import Config

STDERR_TAIL = 3000  # characters of stderr in an error message
ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONUNBUFFERED": "1",
}
DEVICES = {
    "cpu": {"CUDA_VISIBLE_DEVICES": "-1"},
    "gpu": {"TF_FORCE_GPU_ALLOW_GROWTH": "true"},  # several workers share the memory of one GPU
}
MODULE = "deeprnn_keras.bench.worker"


class WorkerError(Exception):
    """Failed request.

    Args:
        message: Error message.
        alive: True if the worker still accepts requests.
    """

    def __init__(self, message: str, alive: bool) -> None:
        super().__init__(message)
        self.alive = alive


class WorkerProcess:
    """Worker process of an implementation; a context manager that ends it.

    The process runs in a separate session, so that Ctrl-C interrupts the benchmark but not the worker.

    Args:
        name: Name of the implementation.
        command: Command to run instead of the worker, for tests.
        device: "cpu" to hide all GPUs from the worker, "gpu" to leave them visible.
    """

    def __init__(self, name: str, command: Sequence[str] | None = None, device: str = "cpu") -> None:
        checks.one_of("device", device, DEVICES)
        self.name = name
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._child = subprocess.Popen(
            command or [sys.executable, "-m", MODULE, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **ENVIRONMENT, **DEVICES[device]},
            encoding="utf-8",
            start_new_session=True,
        )

    def request(self, operation: str, **arguments: object) -> Config:
        """Send a request and return the response.

        Raises:
            WorkerError: If the operation fails or the worker has ended.
        """
        stdin, stdout = self._pipes()
        try:
            stdin.write(json.dumps({"op": operation, **arguments}) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(self._exit_message(operation), alive=False)
        response = json.loads(line)
        if "error" in response:
            raise WorkerError(f"{response['error']}\n{response['traceback']}", alive=True)
        return response

    def kill(self) -> None:
        """Kill the process from another thread; the request that it handles raises a `WorkerError`."""
        self._child.kill()

    def close(self) -> None:
        """Kill the process, also during a request, and release its pipes."""
        self._child.kill()
        self._child.wait()
        for pipe in (*self._pipes(), self._stderr):
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # the worker ended before it read a request

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._child.stdin is not None and self._child.stdout is not None
        return self._child.stdin, self._child.stdout

    def _exit_message(self, operation: str) -> str:
        code = self._child.wait()
        self._stderr.seek(0)
        stderr = self._stderr.read().decode("utf-8", "replace")[-STDERR_TAIL:].strip()
        return f"the worker of {self.name} ended with exit code {code} during {operation!r}\n{stderr or '(no stderr)'}"


StartWorker: TypeAlias = Callable[[str], WorkerProcess]
"""A function that starts the worker process of an implementation by name."""
