"""Files of a search: atomic writes, recovery of damaged files, and a check against another search."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.reading import DamagedFileError, damage_reported, read_json, read_record
from deeprnn_keras.tuning.trial_records import SpaceState, check_space, check_trial_id
from deeprnn_keras.writing import atomic_write, save_json

ORACLE_FILE, PREVIOUS_ORACLE_FILE = "oracle.json", "oracle.previous.json"
SETTINGS_FILE = "search.json"
EXPECTED_ORACLE = "the state of a search"


class OracleState(TypedDict):
    """State of an oracle, as in keras-tuner, and the failures that have ended the search."""

    hyperparameters: SpaceState
    start_order: list[str]
    end_order: list[str]
    run_times: dict[str, Annotated[int, msgspec.Meta(ge=0)]]
    seed: int
    seed_state: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    tried_so_far: list[str]
    id_to_hash: dict[str, str | None]
    failure: NotRequired[str | None]


def save_oracle(state: Config, directory: PathLike) -> None:
    """Write the state of an oracle, and keep the previous one as a backup."""
    path = Path(directory) / ORACLE_FILE
    if path.exists():
        with atomic_write(path.with_name(PREVIOUS_ORACLE_FILE)) as temporary_path:
            shutil.copyfile(path, temporary_path)
    write_json(state, path)


def load_oracle(directory: PathLike, check: Callable[[Config], None] = lambda state: None) -> tuple[Path, Config]:
    """Return the file and the state of an oracle; if the newest is damaged, the previous one, with a warning.

    Args:
        directory: Directory of the search.
        check: Function that raises an error if the oracle does not support a state.

    Raises:
        ValueError: If both are damaged.
    """
    damaged: list[str] = []
    for name in (ORACLE_FILE, PREVIOUS_ORACLE_FILE):
        path = Path(directory) / name
        try:
            state = read_record(path, dict[str, Any], EXPECTED_ORACLE, non_finite=True)
            with damage_reported(path, EXPECTED_ORACLE):
                checked = msgspec.convert(state, OracleState)
                check_space(state["hyperparameters"])
                _check_trial_ids(checked["start_order"], checked["end_order"])
                check(state)
        except (FileNotFoundError, DamagedFileError) as error:
            damaged.append(str(error))
            continue
        if damaged:
            warnings.warn(f"{damaged[0]}; resuming the search from {path}", stacklevel=2)
        return path, state
    raise ValueError(
        f"the search in {str(directory)!r} could not be resumed; pass another directory, or overwrite=True: "
        f"{'; '.join(damaged)}"
    )


def _check_trial_ids(start_order: Sequence[str], end_order: Sequence[str]) -> None:
    """Raise a ValueError if the trials are not numbered from 0, or trials have ended that have not started."""
    for trial_id in start_order:
        check_trial_id(trial_id)
    if [int(trial_id) for trial_id in start_order] != list(range(len(start_order))):
        raise ValueError(f"start_order must be the numbers from 0 to {len(start_order) - 1}, got {start_order}")
    if len(set(end_order)) != len(end_order) or not set(end_order) <= set(start_order):
        raise ValueError(f"end_order must be a part of start_order, {start_order}, got {end_order}")


def write_json(value: Any, path: Path) -> None:  # noqa: ANN401 - any JSON value
    """Write a JSON file atomically; non-finite numbers are allowed, as in keras-tuner's files."""
    with atomic_write(path) as temporary_path:
        temporary_path.write_text(json.dumps(value), encoding="utf-8")


def rename_damaged_record(path: Path, error: Exception) -> None:
    """Rename a damaged record of a trial, and issue a warning with the error."""
    renamed = path.with_name(f"{path.name}.damaged")
    if path.exists():
        path.replace(renamed)
    warnings.warn(
        f"{error}; it is renamed to {renamed.name}, and the search continues without this trial", stacklevel=3
    )


def check_settings(directory: PathLike, settings: Config) -> None:
    """Store the settings of a new search, or compare them with those of an existing one.

    Raises:
        ValueError: If the directory holds a search with other settings; the message lists the differences.
    """
    from deeprnn_keras.training.run_description import differences

    path = Path(directory) / SETTINGS_FILE
    flat_settings = json.loads(json.dumps(flatten_settings(settings)))
    if not path.exists():
        if (Path(directory) / ORACLE_FILE).exists():
            raise ValueError(
                f"{str(directory)!r} holds a search that was not started with deeprnn_keras; pass another directory"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        save_json(flat_settings, path)
        return
    different = differences(read_json(path), flat_settings)
    if different:
        raise ValueError(
            f"{str(directory)!r} holds another search: {'; '.join(different)}; pass another directory, or "
            "overwrite=True"
        )


def flatten_settings(value: object, name: str = "") -> Config:
    """Flatten nested dictionaries into one; nested keys are joined by ', '."""
    if isinstance(value, dict) and value:
        parts = (flatten_settings(part, f"{name}{', ' if name else ''}{key}") for key, part in value.items())
        return {key: part for flat in parts for key, part in flat.items()}
    return {name: value}
