"""Optuna storages of a search on several machines: databases, and journal files on a shared file system."""

from __future__ import annotations

import os
import queue
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from deeprnn_keras import checks, extras
from deeprnn_keras._types import PathLike

if TYPE_CHECKING:
    import optuna

Result = TypeVar("Result")

CONNECT_SECONDS = 10  # until a database that does not answer is reported
FILE_SECONDS = 30.0  # until a file system that does not answer is reported
MAX_LOSSES = 10  # times that a trial is lost before it is given up
BEATS_PER_TIMEOUT = 4  # heartbeats within the time after which a trial is considered lost
DRIVERS = {"postgresql": ("psycopg", "postgresql"), "mysql": ("pymysql", "mysql")}
"""Driver, which is also a package, and extra that installs it, by the name of the database in a URL."""


def open_storage(location: PathLike, heartbeat_timeout: float = 60.0) -> optuna.storages.BaseStorage:
    """Return the storage at a URL or path.

    A database records heartbeats: a trial without one for `heartbeat_timeout` seconds is lost, and returns to the
    queue. A journal file has no heartbeats.

    Args:
        location: URL of a database, "postgresql://user:password@host/name", "mysql://…", or "sqlite:///file"; or the
            path of a journal file, which is created if it does not exist.
        heartbeat_timeout: Seconds without a heartbeat after which a trial is lost; at least 4.

    Returns:
        An `optuna.storages.RDBStorage` or `JournalStorage`.

    Raises:
        ImportError: If Optuna or the driver of the database is missing; the message names the extra.
        ValueError: If the database cannot be reached, the URL names none, or the file system does not answer.

    >>> import tempfile
    >>> from deeprnn_keras.tuning.storages import open_storage
    >>> type(open_storage(f"{tempfile.mkdtemp()}/search.journal")).__name__
    'JournalStorage'
    """
    extras.import_optional("optuna", "optuna", "A search with a storage")
    timeout = checks.positive("heartbeat_timeout", heartbeat_timeout)
    if timeout < BEATS_PER_TIMEOUT:
        raise ValueError(f"heartbeat_timeout must be at least {BEATS_PER_TIMEOUT} seconds, got {timeout:g}")
    if "://" in os.fspath(location):
        return _open_database(os.fspath(location), timeout)
    return _open_journal(Path(location).expanduser())


def has_heartbeat(storage: optuna.storages.BaseStorage) -> bool:
    """Return whether the storage records heartbeats of running trials."""
    interval: Callable[[], int | None] = getattr(storage, "get_heartbeat_interval", lambda: None)
    return interval() is not None


# === Databases ===
def _open_database(url: str, timeout: float) -> optuna.storages.BaseStorage:
    import optuna
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        address = make_url(url)
    except ArgumentError as error:
        raise ValueError(f"storage must be the URL of a database or the path of a journal file, got {url!r}") from error
    backend = address.get_backend_name()
    if backend in DRIVERS and "+" not in address.drivername:
        driver, extra = DRIVERS[backend]
        extras.import_optional(driver, extra, f"A search in a {backend} database")
        address = address.set(drivername=f"{backend}+{driver}")
    shown = address.render_as_string(hide_password=True)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if backend in DRIVERS:
        options |= {"pool_size": 2, "connect_args": {"connect_timeout": CONNECT_SECONDS}}
    try:
        with warnings.catch_warnings():  # heartbeats are marked as experimental
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.storages.RDBStorage(
                address.render_as_string(hide_password=False),
                engine_kwargs=options,
                heartbeat_interval=max(1, int(timeout / BEATS_PER_TIMEOUT)),
                grace_period=int(timeout),
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(
                    max_retry=MAX_LOSSES, inherit_intermediate_values=True
                ),
            )
    except NoSuchModuleError as error:
        raise ValueError(
            f"storage {shown!r}: supported databases are {', '.join(DRIVERS)}, and sqlite, got {backend!r}"
        ) from error
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise ValueError(
            f"storage {shown!r} cannot be opened: {reason}; check the URL, and that the database runs"
        ) from error


# === Journal files ===
def _open_journal(path: Path) -> optuna.storages.BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    if not path.parent.is_dir():
        raise ValueError(f"storage {str(path)!r}: the directory {str(path.parent)!r} does not exist; create it first")
    if path.is_dir():
        raise ValueError(f"storage {str(path)!r} is a directory; pass the path of a journal file in it")

    def open_file() -> optuna.storages.BaseStorage:
        # a lock by an exclusive open works on NFS 3 and later, and on Windows
        return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))

    try:
        return within(FILE_SECONDS, open_file)
    except OSError as error:
        raise ValueError(f"storage {str(path)!r} cannot be opened: {error.strerror or error}") from error
    except (ValueError, KeyError) as error:
        raise ValueError(f"storage {str(path)!r} is not a journal file of Optuna: {error}") from error


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Return the result of a call, which a file system that does not answer could block forever.

    Args:
        seconds: Maximum duration.
        call: The function; it continues in its thread if it takes longer.

    Raises:
        TimeoutError: If the call does not return in time.
    """
    results: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((call(), None))
        except BaseException as error:
            results.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s; check its file system") from None
    if error is not None:
        raise error
    return cast(Result, result)
