"""Parallel search on one machine: processes of keras-tuner's chief and workers, with supervision."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from deeprnn_keras import checks
from deeprnn_keras._types import PathLike

MAX_RESTARTS = 3  # restarts of each worker after failures
POLL_SECONDS = 0.5
TERMINATION_TIMEOUT_SECONDS = 10.0
LATE_WORKER_SECONDS = 30.0  # time to end after the chief has ended; a worker that starts later waits for it forever
PARENT_VARIABLE = "DEEPRNN_KERAS_PARENT"
TRIALS_PER_PROCESS = 25  # limits memory: XLA keeps its compiled programs, about 30 MB per trial
EXIT_RESTART_REQUESTED = 75
EXIT_TRIALS_FAILED = 76
LOG_LINES = 15  # last lines of a log that an error message shows


class Workers:
    """Chief and workers of a search as processes on this machine.

    All processes run the same command and are distinguished by keras-tuner's environment variables
    KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP, and KERASTUNER_ORACLE_PORT. A worker that dies is restarted under the
    same name and receives its trial again.

    Args:
        command: Command line of each process, as a list; it creates the same tuner and calls `search`.
        count: Number of workers.
        directory: Directory of the log files, one for each process.
        cores: Number of cores to divide among the workers; None for all cores of this machine.

    Raises:
        ValueError: If `count` or `cores` is not a positive integer.

    >>> import sys
    >>> from deeprnn_keras.tuning import Workers
    >>> workers = Workers([sys.executable, "search.py"], 2, "runs/logs")
    >>> # with workers: workers.wait()      # search.py creates a tuner and calls tuner.search(...)
    """

    def __init__(self, command: Sequence[str], count: int, directory: PathLike, cores: int | None = None) -> None:
        self.command, self.count = list(command), checks.positive_int("count", count)
        cores = checks.positive_int_or_none("cores", cores)
        self.directory, self._port = Path(directory), _free_port()
        self._threads = max(1, (cores or _num_cores()) // self.count)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts: dict[str, int] = {}
        self._finished: set[str] = set()
        self._chief_ended_at: float | None = None

    def start(self) -> Self:
        """Start the chief and the workers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for name in ("chief", *self._worker_names()):
            self._start(name)
        return self

    def _worker_names(self) -> list[str]:
        return [f"worker{number}" for number in range(self.count)]

    def _start(self, name: str) -> None:
        count = str(self._threads)
        threads = {"TF_NUM_INTRAOP_THREADS": count, "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": count}
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self.command,
                env={**os.environ, **threads, PARENT_VARIABLE: str(os.getpid()), **environment(name, self._port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self, on_poll: Callable[[], object] | None = None) -> None:
        """Wait until all workers have finished.

        Args:
            on_poll: Called about twice per second.

        Raises:
            RuntimeError: If all trials or several consecutive ones fail, if the chief fails, or if a worker fails
                repeatedly; the message holds the end of a log.
        """
        while len(self._finished) < self.count:
            time.sleep(POLL_SECONDS)
            if on_poll:
                on_poll()
            self._check_processes()

    def _check_processes(self) -> None:
        for name in self._worker_names():
            code = self._processes[name].poll()
            if code is not None and name not in self._finished:
                self._on_exit(name, code)
        if self._chief_failed():
            raise RuntimeError(f"the chief exited before its workers; the end of its log:\n{self._log_tail('chief')}")
        if self._search_ended():
            self._terminate_late_workers()

    def _search_ended(self) -> bool:
        """Return whether the chief has ended without an error: no worker has a trial to run."""
        return self._processes["chief"].poll() == 0

    def _terminate_late_workers(self) -> None:
        self._chief_ended_at = self._chief_ended_at or time.monotonic()
        if time.monotonic() - self._chief_ended_at > LATE_WORKER_SECONDS:
            for name in set(self._worker_names()) - self._finished:
                self._processes[name].terminate()
                self._finished.add(name)

    def _on_exit(self, name: str, code: int) -> None:
        if code == EXIT_TRIALS_FAILED:
            raise RuntimeError(f"the search failed; the end of the log of {name}:\n{self._log_tail(name)}")
        if code == 0 or self._search_ended():
            self._finished.add(name)
        elif code == EXIT_RESTART_REQUESTED:
            self._start(name)
        elif self._chief_failed() or self._restarts.get(name, 0) >= MAX_RESTARTS:
            raise RuntimeError(f"{name} exited with code {code}; the end of its log:\n{self._log_tail(name)}")
        else:
            self._restarts[name] = self._restarts.get(name, 0) + 1
            self._start(name)

    def _chief_failed(self) -> bool:
        return self._processes["chief"].poll() not in (None, 0)

    def _log_tail(self, name: str) -> str:
        text = (self.directory / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-LOG_LINES:])

    def stop(self) -> None:
        """Terminate the running processes. Without workers, the chief exits by itself within 20 s."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(TERMINATION_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def pids(self) -> dict[str, int]:
        """Return the process IDs of the running processes, by name."""
        return {name: process.pid for name, process in self._processes.items() if process.poll() is None}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def environment(name: str, port: int, host: str = "127.0.0.1") -> dict[str, str]:
    """Return keras-tuner's environment variables of a process.

    Args:
        name: "chief", or the name of a worker.
        port: Port of the chief.
        host: Address of the chief.
    """
    return {"KERASTUNER_TUNER_ID": name, "KERASTUNER_ORACLE_IP": host, "KERASTUNER_ORACLE_PORT": str(port)}


def is_worker() -> bool:
    """Return whether this process receives its trials from a chief."""
    return "KERASTUNER_ORACLE_IP" in os.environ and "chief" not in os.environ.get("KERASTUNER_TUNER_ID", "")


def request_restart_after(num_trials: int) -> None:
    """Exit a worker that has run many trials, if it was started by `Workers`, which restarts it."""
    if PARENT_VARIABLE in os.environ and num_trials >= TRIALS_PER_PROCESS:
        sys.exit(EXIT_RESTART_REQUESTED)


def fail_with_trials(reason: str | None) -> None:
    """Raise a RuntimeError if there is a reason; a worker started by `Workers` exits, and is not restarted.

    Args:
        reason: The reason for which the search has failed, or None.
    """
    if reason is None:
        return
    if PARENT_VARIABLE in os.environ:
        print(reason, file=sys.stderr)  # the end of the log is part of the error of `Workers.wait`
        sys.exit(EXIT_TRIALS_FAILED)
    raise RuntimeError(reason)


def exit_with_parent() -> None:
    """Exit this chief or worker when the process that started it has exited, for example because it was killed.

    Otherwise the remaining chief and that of the resumed search would overwrite each other's files.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _num_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
