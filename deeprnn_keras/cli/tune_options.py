"""Options of `deeprnn tune`, and the stored options of a search for --resume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import click
import msgspec

from deeprnn_keras import checks
from deeprnn_keras._types import Config
from deeprnn_keras.cli.option_types import OWN, format_range, format_start
from deeprnn_keras.cli.output_directory import unused_directory
from deeprnn_keras.data.data_files import DataFiles
from deeprnn_keras.reading import DamagedFileError, read_record

RangeName: TypeAlias = Literal[
    "num_layers",
    "units",
    "cell",
    "connection",
    "input_dropout",
    "dropout",
    "output_dropout",
    "learning_rate",
    "global_clipnorm",
    "forget_bias",
    "batch_size",
    "bptt",
]


class StoredRange(msgspec.Struct, forbid_unknown_fields=True):
    """Range of a hyperparameter in tune.json: {"own": true} or {"between": [low, high]}."""

    own: bool = False
    between: tuple[int | float, int | float] | None = None

    def __post_init__(self) -> None:
        if self.own == (self.between is not None):
            raise ValueError("a range must have either 'own' or 'between'")

    def value(self) -> object:
        """Return the value of the option."""
        return OWN if self.own else self.between


class StoredSearchOptions(msgspec.Struct, forbid_unknown_fields=True):
    """Options of the search itself in tune.json."""

    algorithm: Literal["bayesian", "random", "hyperband", "grid"]
    seed: int
    trials: int | None
    minutes: int | float | msgspec.UnsetType = msgspec.UNSET
    updates: int | msgspec.UnsetType = msgspec.UNSET
    study: str | msgspec.UnsetType = msgspec.UNSET


class StoredSettings(msgspec.Struct, forbid_unknown_fields=True):
    """Content of tune.json."""

    model: str
    text: str | None
    ranges: dict[RangeName, StoredRange | list[int | float | str] | int | float | str]
    budget: dict[Literal["params", "max_params", "max_step_ms"], int | float]
    search: StoredSearchOptions
    valid: str | msgspec.UnsetType = msgspec.UNSET
    test: str | msgspec.UnsetType = msgspec.UNSET


SETTINGS_FILE = "tune.json"
BUDGET_OPTIONS = ("params", "max_params", "max_step_ms")
SEARCH_OPTIONS = ("algorithm", "trials", "minutes", "updates", "seed", "study")
DEFAULTS = {"algorithm": "bayesian", "seed": 0}
DEFAULT_TRIALS = 20


def resolve_options(
    name: str, output: Path | None, files: DataFiles, options: Mapping[str, Any], resume: bool, child: bool
) -> tuple[Path, Config]:
    """Return the directory and the settings of a search.

    Args:
        name: Name of the model.
        output: Directory passed with --output, or None.
        files: Files passed with --text, --valid, and --test.
        options: The other options that were passed.
        resume: If True, resume a search.
        child: True if this process is a chief or a worker, whose output directory may exist.

    Raises:
        ValueError: If there is no search to resume, or an option differs from that of the search.
    """
    paths = files.settings()
    requested = {"model": name, "text": paths.pop("data", None), **paths, **_grouped(options)}
    if resume:
        directory = Path(output) if output else _latest_search(name)
        return directory, _stored_settings(directory, requested)
    directory = Path("runs") / f"tune_{name}"
    if output:
        directory = Path(output) if child else checks.new_directory("--output", output)
    elif not child:
        directory = unused_directory(directory)
    search = {**DEFAULTS, **requested["search"]}
    if search["algorithm"] in ("bayesian", "random"):
        search.setdefault("trials", DEFAULT_TRIALS)
    return directory, {**requested, "search": {"trials": None, **search}}


def _grouped(options: Mapping[str, Any]) -> dict[str, Config]:
    groups: dict[str, Config] = {"ranges": {}, "budget": {}, "search": {}}
    for key, value in options.items():
        groups["budget" if key in BUDGET_OPTIONS else "search" if key in SEARCH_OPTIONS else "ranges"][key] = value
    return groups


def to_json(settings: Config) -> Config:
    """Return settings as JSON values."""
    return {**settings, "ranges": {key: _to_json_range(value) for key, value in settings["ranges"].items()}}


def _to_json_range(value: object) -> object:
    if value is OWN:
        return {"own": True}
    return {"between": list(value)} if isinstance(value, tuple) else value


def read_settings(path: Path) -> Config:
    """Return the settings of a search.

    Raises:
        DamagedFileError: If the file is damaged.
    """
    return _from_stored(read_record(path, StoredSettings, "the settings of a search"))


def from_json(settings: Config) -> Config:
    """Return the settings of a search from the JSON values that `to_json` returned.

    Raises:
        msgspec.ValidationError: If they are no such values.
    """
    return _from_stored(msgspec.convert(settings, StoredSettings))


def _from_stored(stored: StoredSettings) -> Config:
    ranges = {key: value.value() if isinstance(value, StoredRange) else value for key, value in stored.ranges.items()}
    return {**msgspec.to_builtins(stored), "ranges": ranges}


def _stored_settings(directory: Path, requested: Config) -> Config:
    """Return the settings of the search in `directory`, and check that they agree with the requested ones."""
    path = directory / SETTINGS_FILE
    if not path.is_file():
        raise ValueError(f"--output {str(directory)!r} holds no search to resume: it has no {SETTINGS_FILE}")
    if (directory / "preset").exists():
        raise ValueError(f"--output {str(directory)!r} holds no search to resume: its search has finished")
    stored = read_settings(path)
    groups = ("ranges", "budget", "search")
    before = {key: value for key, value in stored.items() if key not in groups}
    now = {key: value for key, value in requested.items() if key not in groups and value is not None}
    for group in groups:
        before |= stored[group]
        now |= requested[group]
    for key, value in now.items():
        if before.get(key) != value:
            raise ValueError(
                f"the search in {str(directory)!r} was started "
                f"{format_start(key, before.get(key), format_range(before.get(key)))}, got "
                f"{key} = {format_range(value)} with --resume; leave the option out, or start a new search in another "
                "directory"
            )
    return stored


def _stored_model(path: Path) -> str | None:
    try:
        return read_settings(path)["model"]
    except DamagedFileError as error:
        click.echo(f"Skipping a damaged search: {error}", err=True)
        return None


def _latest_search(name: str) -> Path:
    """Return the directory of the most recent unfinished search for a model in 'runs'; damaged ones are named."""
    unfinished = [path for path in Path("runs").glob(f"*/{SETTINGS_FILE}") if not (path.parent / "preset").exists()]
    directories = [path.parent for path in unfinished if _stored_model(path) == name]
    if not directories:
        raise ValueError(f"--resume: 'runs' holds no unfinished search for {name}; pass its directory with --output")
    return max(directories, key=lambda directory: (directory / SETTINGS_FILE).stat().st_mtime)
