"""A chief and its workers as processes of this machine: keras-tuner's own, watched over."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from deeprnn_keras import checks

RESTARTS = 3  # of each worker
POLL_SECONDS = 0.5
GRACE_SECONDS = 10.0
PARENT = "DEEPRNN_KERAS_PARENT"
FRESH_AFTER, WANTS_A_FRESH_START = 25, 75  # trials, exit code: XLA keeps what it compiled, some 30 MB a trial


class Workers:
    """Runs one command as a chief and as `count` workers, told apart by keras-tuner's three environment variables.

    A worker that dies is started again, under its name, and is given its trial again.

    Args:
        command: what each process runs, a list; it builds the same tuner and calls `search`.
        count: workers.
        directory: for what they write to the terminal, one file each.
        cores: so many of this machine, shared out among the workers; None: all.

    >>> import sys
    >>> from deeprnn_keras.tuning import Workers
    >>> workers = Workers([sys.executable, "search.py"], 2, "runs/logs")
    >>> # with workers: workers.wait()      # search.py builds a tuner and calls tuner.search(...)
    """

    def __init__(self, command, count, directory, cores=None):
        self.command, self.count = list(command), checks.positive_int("workers", count)
        self.directory, self._port = Path(directory), _free_port()
        self._threads = max(1, (cores or _cores()) // self.count)
        self._processes, self._restarts, self._ended = {}, {}, set()

    def start(self):
        """Starts the chief and the workers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for name in ("chief", *self._names()):
            self._start(name)
        return self

    def _names(self):
        return [f"worker{number}" for number in range(self.count)]

    def _start(self, name):
        each = str(self._threads)
        threads = {"TF_NUM_INTRAOP_THREADS": each, "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": each}
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self.command,
                env={**os.environ, **threads, PARENT: str(os.getpid()), **environment(name, self._port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self, on_poll=None):
        """Until the workers have ended their work.

        Args:
            on_poll: called about twice a second.

        Raises:
            RuntimeError: if the chief dies, or workers die again and again, with the end of what they wrote.
        """
        while len(self._ended) < self.count:
            time.sleep(POLL_SECONDS)
            if on_poll:
                on_poll()
            self._look_after()

    def _look_after(self):
        for name in self._names():
            code = self._processes[name].poll()
            if code is None or name in self._ended:
                continue
            if code == 0:
                self._ended.add(name)
            elif code == WANTS_A_FRESH_START:
                self._start(name)
            elif self._chief_failed() or self._restarts.get(name, 0) >= RESTARTS:
                raise RuntimeError(f"{name} ended with exit code {code}; the end of its log:\n{self._log(name)}")
            else:
                self._restarts[name] = self._restarts.get(name, 0) + 1
                self._start(name)
        if self._chief_failed():
            raise RuntimeError(f"the chief ended before its workers; the end of its log:\n{self._log('chief')}")

    def _chief_failed(self):
        return self._processes["chief"].poll() not in (None, 0)

    def _log(self, name):
        text = (self.directory / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-15:])

    def stop(self):
        """Ends what still runs. The chief waits up to 20 seconds by itself once its workers are gone."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def pids(self):
        """{name: process id} of those that run."""
        return {name: process.pid for name, process in self._processes.items() if process.poll() is None}

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.stop()


def environment(name, port, host="127.0.0.1"):
    """keras-tuner's variables for the process called `name`; on several machines `host` is the chief's address."""
    return {"KERASTUNER_TUNER_ID": name, "KERASTUNER_ORACLE_IP": host, "KERASTUNER_ORACLE_PORT": str(port)}


def start_afresh(trials):
    """Ends a worker that has run many trials, if somebody is there to start it again."""
    if PARENT in os.environ and trials >= FRESH_AFTER:
        sys.exit(WANTS_A_FRESH_START)


def end_with_parent():
    """Ends this process when the one that started it as a chief or a worker is gone, killed for instance.

    Two chiefs, a left one and that of the resumed search, would write over each other.
    """
    parent = os.environ.get(PARENT)
    if parent is None:
        return

    def watch():
        while os.getppid() == int(parent):
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _cores():
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
