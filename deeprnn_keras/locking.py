"""Locks on output directories: only one process at a time writes to a run's directory."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

from deeprnn_keras._types import PathLike
from deeprnn_keras.reading import DamagedFileError, read_json

LOCK = ".lock"
HOLDER = ".lock-holder.json"

_held: dict[Path, DirectoryLock] = {}


class DirectoryInUseError(ValueError):
    """Error for a directory to which another process writes."""


class DirectoryLock:
    """Exclusive lock on a directory for this process.

    The operating system releases the lock when the process ends, even if it is killed. Within a process, the lock is
    re-entrant, so that an interrupted notebook cell can be run again.

    Args:
        directory: An existing directory.

    Raises:
        DirectoryInUseError: If another process holds the lock; the message names that process.

    >>> import tempfile
    >>> from deeprnn_keras.locking import DirectoryLock
    >>> with DirectoryLock(tempfile.mkdtemp()):
    ...     pass  # write
    """

    def __init__(self, directory: PathLike) -> None:
        self.directory = Path(directory).resolve()
        self._lock = FileLock(self.directory / LOCK)
        self._count = 0

    def __enter__(self) -> DirectoryLock:
        lock = _held.setdefault(self.directory, self)
        lock._acquire()
        return lock

    def __exit__(self, *exception: object) -> None:
        _held.get(self.directory, self)._release()

    def _acquire(self) -> None:
        if not self._count:
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                _held.pop(self.directory, None)
                raise DirectoryInUseError(
                    f"directory {str(self.directory)!r} is in use by {holder(self.directory)}; "
                    "wait for it or stop it, or pass another directory"
                ) from None
            self._write_holder()
        self._count += 1

    def _release(self) -> None:
        self._count -= 1
        if self._count <= 0:
            self._count = 0
            _held.pop(self.directory, None)
            (self.directory / HOLDER).unlink(missing_ok=True)
            self._lock.release()

    def _write_holder(self) -> None:
        record = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "program": Path(sys.argv[0]).name,
            "since": time.time(),
        }
        (self.directory / HOLDER).write_text(json.dumps(record), encoding="utf-8")


def holder(directory: PathLike) -> str:
    """Return a description of the process that holds the lock on a directory, for messages."""
    try:
        record = read_json(Path(directory) / HOLDER)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["since"]))
        return f"process {record['pid']} ({record['program']}) on {record['host']} since {since}"
    except (FileNotFoundError, DamagedFileError, KeyError, TypeError, ValueError):  # the file is not written yet
        return "another process"
