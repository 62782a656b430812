"""Journal file of Optuna on a shared file system that may stop answering, written by workers that may be killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from typing_extensions import override

from deeprnn_keras.tuning import storages

Result = TypeVar("Result")


class JournalFile(JournalFileBackend):
    """Journal file whose reads and writes raise a TimeoutError if the file system does not answer.

    Args:
        path: The file; created if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._within(lambda: JournalFileBackend.__init__(self, str(path), lock_obj=_Lock(path)))

    @override
    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        yield from self._within(lambda: list(JournalFileBackend.read_logs(self, log_number_from)))

    @override
    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._within(lambda: JournalFileBackend.append_logs(self, logs))

    def _within(self, call: Callable[[], Result]) -> Result:
        try:
            return storages.within(storages.FILE_SECONDS, call)
        except TimeoutError as error:
            raise TimeoutError(f"storage {str(self.path)!r}: {error}") from None


class _Lock(JournalFileOpenLock):
    """Lock by an exclusive open, which works on NFS 3 and later, and on Windows.

    Its holder finds each line of the file complete: a line without an end was left by a worker that was killed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    @override
    def acquire(self) -> bool:
        acquired = super().acquire()
        _remove_torn_line(self._path)
        return acquired


def _remove_torn_line(path: Path) -> None:
    """Remove the bytes after the last end of a line."""
    with path.open("r+b") as file:
        position = file.seek(0, os.SEEK_END)
        if position == 0:
            return
        file.seek(position - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
