"""Files of a search: atomic writes, recovery of damaged files, a lock, and a check of the settings."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.training.files import atomic_write, save_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

ORACLE_FILE, PREVIOUS_ORACLE_FILE = "oracle.json", "oracle.previous.json"
SETTINGS_FILE, LOCK_FILE = "search.json", "lock"


def save_oracle(state: Config, directory: PathLike) -> None:
    """Write the state of an oracle, and keep the previous one as a backup."""
    path = Path(directory) / ORACLE_FILE
    if path.exists():
        with atomic_write(path.with_name(PREVIOUS_ORACLE_FILE)) as temporary_path:
            shutil.copyfile(path, temporary_path)
    write_json(state, path)


def load_oracle(directory: PathLike) -> Config:
    """Return the state of an oracle, or the previous one with a warning if the newest is damaged.

    Raises:
        ValueError: If both are damaged.
    """
    damaged: list[Path] = []
    for name in (ORACLE_FILE, PREVIOUS_ORACLE_FILE):
        path = Path(directory) / name
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            if damaged:
                warnings.warn(f"{damaged[0]} is damaged; resuming the search from {path}", stacklevel=2)
            return state
        except (OSError, ValueError):
            damaged.append(path)
    raise ValueError(
        f"the search in {str(directory)!r} could not be resumed: {ORACLE_FILE} and {PREVIOUS_ORACLE_FILE} are damaged; "
        "pass another directory, or overwrite=True"
    )


def write_json(value: Any, path: Path) -> None:  # noqa: ANN401 - any JSON value
    """Write a JSON file atomically; non-finite numbers are allowed, as in keras-tuner's files."""
    with atomic_write(path) as temporary_path:
        temporary_path.write_text(json.dumps(value), encoding="utf-8")


def rename_damaged_record(path: Path) -> None:
    """Rename a damaged record of a trial, and issue a warning."""
    renamed = path.with_name(f"{path.name}.damaged")
    if path.exists():
        path.replace(renamed)
    warnings.warn(
        f"{path} is damaged; it is renamed to {renamed.name}, and the search continues without this trial", stacklevel=3
    )


@contextmanager
def lock_search(directory: PathLike) -> Iterator[None]:
    """Lock a search for this process while the block runs, if the operating system supports file locks.

    Raises:
        ValueError: If another process has locked it.
    """
    if fcntl is None:
        yield
        return
    with (Path(directory) / LOCK_FILE).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(
                f"the search in {str(directory)!r} is run by another process; wait for it, stop it, or pass another "
                "directory"
            ) from error
        yield


def check_settings(directory: PathLike, settings: Config) -> None:
    """Store the settings of a new search, or compare them with those of an existing one.

    Raises:
        ValueError: If the directory holds a search with other settings; the message lists the differences.
    """
    from deeprnn_keras.training.run_description import differences

    path = Path(directory) / SETTINGS_FILE
    flat_settings = json.loads(json.dumps(_flatten(settings)))
    if not path.exists():
        if (Path(directory) / ORACLE_FILE).exists():
            raise ValueError(
                f"{str(directory)!r} holds a search that was not started with deeprnn_keras; pass another directory"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        save_json(flat_settings, path)
        return
    different = differences(json.loads(path.read_text(encoding="utf-8")), flat_settings)
    if different:
        raise ValueError(
            f"{str(directory)!r} holds another search: {'; '.join(different)}; pass another directory, or "
            "overwrite=True"
        )


def _flatten(value: object, name: str = "") -> Config:
    """Flatten nested dictionaries into one; nested keys are joined by ', '."""
    if isinstance(value, dict) and value:
        parts = (_flatten(part, f"{name}{', ' if name else ''}{key}") for key, part in value.items())
        return {key: part for flat in parts for key, part in flat.items()}
    return {name: value}
