"""`Process`: a worker, asked and answered one line at a time."""

import json
import os
import subprocess
import sys
import tempfile

TAIL = 3000  # characters of stderr that a report shows
QUIET = {
    "CUDA_VISIBLE_DEVICES": "-1",  # the kernels compared are those of the CPU
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONUNBUFFERED": "1",
}
MODULE = "deeprnn_keras.bench.worker"


class WorkerError(Exception):
    """A request that failed; the message is for people. `alive` says whether the worker goes on."""

    def __init__(self, message, alive):
        super().__init__(message)
        self.alive = alive


class Process:
    """A worker process; a context manager that ends it.

    It stands in a session of its own, so that Ctrl-C reaches the one who asks and not the worker.

    Args:
        name: of the implementation.
        command: what to run instead of the worker, for tests.
    """

    def __init__(self, name, command=None):
        self.name = name
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._child = subprocess.Popen(
            command or [sys.executable, "-m", MODULE, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **QUIET},
            encoding="utf-8",
            start_new_session=True,
        )

    def ask(self, operation, **arguments):
        """The worker's answer, a dictionary.

        Raises:
            WorkerError: if the worker answers with an error, or has ended.
        """
        try:
            self._child.stdin.write(json.dumps({"op": operation, **arguments}) + "\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(self._obituary(operation), alive=False)
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{answer['error']}\n{answer['traceback']}", alive=True)
        return answer

    def close(self):
        """Ends the process, at once if it is at work."""
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout, self._stderr):
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # a request that was never read

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _obituary(self, operation):
        code = self._child.wait()
        self._stderr.seek(0)
        words = self._stderr.read().decode("utf-8", "replace")[-TAIL:].strip()
        return f"the process of {self.name} ended at {operation!r} with exit code {code}\n{words or '(no stderr)'}"
