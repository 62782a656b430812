"""Optuna storages of a search on several machines: databases, and journal files on a shared file system."""

from __future__ import annotations

import os
import queue
import random
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from deeprnn_keras import checks, extras
from deeprnn_keras._types import PathLike

if TYPE_CHECKING:
    import optuna

Result = TypeVar("Result")

CONNECT_SECONDS = 10  # until a database that does not answer is reported
FILE_SECONDS = 90.0  # until a file system that does not answer is reported; a killed worker holds a lock for 30 s
TABLE_ATTEMPTS = 8  # workers that start together on an empty database create its tables at the same time
BEATS_PER_TIMEOUT = 4  # heartbeats within the time after which a trial is considered lost
DRIVERS = {"postgresql": ("psycopg", "postgresql"), "mysql": ("pymysql", "mysql")}
"""Driver, which is also a package, and extra that installs it, by the name of the database in a URL."""
TIMEOUTS: dict[str, dict[str, int]] = {
    "postgresql": {"connect_timeout": CONNECT_SECONDS, "keepalives_idle": 30, "tcp_user_timeout": 60_000},
    "mysql": {"connect_timeout": CONNECT_SECONDS, "read_timeout": 60, "write_timeout": 60},
    "sqlite": {"timeout": 60},
}
"""Arguments of the drivers that limit the time of waiting for a server or, with SQLite, for a lock."""


def open_storage(location: PathLike, heartbeat_timeout: float = 60.0) -> optuna.storages.BaseStorage:
    """Return the storage at a URL or path.

    A database records heartbeats: a trial without one for `heartbeat_timeout` seconds is lost. A journal file has no
    heartbeats.

    Args:
        location: URL of a database, "postgresql://user:password@host/name", "mysql://…", or "sqlite:///file"; or the
            path of a journal file, which is created if it does not exist.
        heartbeat_timeout: Seconds without a heartbeat after which a trial is lost; at least 4.

    Returns:
        An `optuna.storages.RDBStorage` or `JournalStorage`.

    Raises:
        ImportError: If Optuna or the driver of the database is missing; the message names the extra.
        ValueError: If an argument is not supported, or the file is not a journal.
        ConnectionError: If the database does not answer.
        TimeoutError: If the file system does not answer.

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


def shown(location: PathLike) -> str:
    """Return a location for messages, without the password of a URL."""
    text = os.fspath(location)
    if "://" not in text:
        return text
    from sqlalchemy.engine import make_url

    return make_url(text).render_as_string(hide_password=True)


@contextmanager
def outages_named(location: PathLike) -> Iterator[None]:
    """Raise a ConnectionError that names the storage if a database fails in the block.

    A TimeoutError of a journal file names it already.

    Args:
        location: As in `open_storage`.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError, UnboundLocalError) as error:
        # if a storage fails at the end of a trial, Optuna's log of the trial raises an UnboundLocalError
        outage = error.__context__ if isinstance(error, UnboundLocalError) else error
        if isinstance(outage, TimeoutError):
            raise outage from None
        if not isinstance(outage, (optuna.exceptions.StorageInternalError, SQLAlchemyError)):
            raise
        raise ConnectionError(
            f"storage {shown(location)!r} has failed: {_reason(outage)}. The trial of this worker returns to the "
            "queue; start the worker again when the database answers"
        ) from error


def _reason(error: BaseException) -> str:
    """Return the first line of the error of a database driver, which Optuna and SQLAlchemy wrap."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0]


# === Databases ===
def _open_database(url: str, timeout: float) -> optuna.storages.BaseStorage:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:  # the URL is not shown: it may contain a password
        raise ValueError(
            "storage must be the path of a journal file, or a URL postgresql://user:password@host:port/name, mysql://…,"
            f" or sqlite:///file: {error}"
        ) from error
    backend = address.get_backend_name()
    if backend not in TIMEOUTS:
        raise ValueError(f"storage {shown(url)!r}: the supported databases are {', '.join(TIMEOUTS)}, got {backend!r}")
    if backend in DRIVERS and "+" not in address.drivername:
        driver, extra = DRIVERS[backend]
        extras.import_optional(driver, extra, f"A search in a {backend} database")
        address = address.set(drivername=f"{backend}+{driver}")
    options = {"pool_pre_ping": True, "connect_args": TIMEOUTS[backend]}
    try:
        return _create_tables(address.render_as_string(hide_password=False), options, timeout)
    except (SQLAlchemyError, RuntimeError) as error:  # RuntimeError: tables of another version of Optuna
        raise ConnectionError(
            f"storage {shown(url)!r} could not be opened: {_reason(error)}; check the URL, and that the database runs"
        ) from error


def _create_tables(url: str, options: dict[str, Any], timeout: float) -> optuna.storages.BaseStorage:
    """Connect, and create the tables if they are missing, also if other workers do so at the same time."""
    import optuna
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    engine = create_engine(url, **options)
    engine.connect().close()
    engine.dispose()
    for attempt in range(TABLE_ATTEMPTS):
        try:
            with warnings.catch_warnings():  # heartbeats are marked as experimental
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.storages.RDBStorage(
                    url,
                    engine_kwargs=dict(options),
                    heartbeat_interval=max(1, int(timeout / BEATS_PER_TIMEOUT)),
                    grace_period=int(timeout),
                )
        except SQLAlchemyError:
            if attempt == TABLE_ATTEMPTS - 1:
                raise
            time.sleep(random.uniform(0.1, 0.5))
    raise AssertionError("the last attempt returns or raises")


# === Journal files ===
def _open_journal(path: Path) -> optuna.storages.BaseStorage:
    from optuna.storages import JournalStorage

    from deeprnn_keras.tuning.journal_file import JournalFile

    try:
        is_directory, has_parent = within(FILE_SECONDS, lambda: (path.is_dir(), path.parent.is_dir()))
    except TimeoutError as error:
        raise TimeoutError(f"storage {str(path)!r}: {error}") from None
    if not has_parent:
        raise ValueError(f"storage {str(path)!r}: the directory {str(path.parent)!r} does not exist; create it first")
    if is_directory:
        raise ValueError(f"storage {str(path)!r} is a directory; pass the path of a journal file in it")
    try:
        return JournalStorage(JournalFile(path))
    except TimeoutError:
        raise
    except OSError as error:
        raise ValueError(f"storage {str(path)!r} could not be opened: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # of Optuna, for lines that are no records
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
