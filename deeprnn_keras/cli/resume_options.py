"""Options of `deeprnn train`, and the stored options of a run for --resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from deeprnn_keras.cli.option_types import format_start
from deeprnn_keras.data.data_files import DataFiles
from deeprnn_keras.reading import DamagedFileError, read_record


class StoredOptions(msgspec.Struct, forbid_unknown_fields=True):
    """Content of run.json; options that were not passed are absent."""

    model: str
    data: str | None
    quick: bool
    seed: int
    valid: str | msgspec.UnsetType = msgspec.UNSET
    test: str | msgspec.UnsetType = msgspec.UNSET
    epochs: int | msgspec.UnsetType = msgspec.UNSET
    num_layers: int | msgspec.UnsetType = msgspec.UNSET
    units: int | list[int] | msgspec.UnsetType = msgspec.UNSET
    cell: str | list[str] | msgspec.UnsetType = msgspec.UNSET
    dropout: float | msgspec.UnsetType = msgspec.UNSET
    learning_rate: float | msgspec.UnsetType = msgspec.UNSET
    global_clipnorm: float | msgspec.UnsetType = msgspec.UNSET
    batch_size: int | msgspec.UnsetType = msgspec.UNSET
    bptt: int | msgspec.UnsetType = msgspec.UNSET
    stateful: bool | msgspec.UnsetType = msgspec.UNSET


def read_stored_options(directory: Path) -> dict[str, Any]:
    """Return the content of run.json.

    Raises:
        DamagedFileError: If it is damaged.
    """
    from deeprnn_keras.tasks.run import SETTINGS

    return msgspec.to_builtins(read_record(directory / SETTINGS, StoredOptions, "the options of a run"))


@dataclass(frozen=True)
class TrainOptions:
    """Options of `deeprnn train`.

    Attributes:
        directory: Output directory, or None if --output was not passed.
        files: Files passed with --text or --data, --valid, and --test.
        quick: True if the run is shortened.
        seed: Random seed, or None if it was not passed.
        overrides: Fields of the configuration and the recipe to replace.
    """

    directory: Path | None
    files: DataFiles
    quick: bool
    seed: int | None
    overrides: dict[str, Any]

    def settings(self, name: str) -> dict[str, Any]:
        """Return the content of run.json for a run of the model `name`."""
        fixed = {"model": name, "data": None, "quick": self.quick, "seed": self.seed or 0}
        return {**fixed, **self.files.settings(), **self.overrides}

    def configuration_overrides(self) -> dict[str, Any]:
        """Return the fields of the configuration to replace, with those that follow from others."""
        overrides = dict(self.overrides)
        if isinstance(overrides.get("units"), tuple):
            overrides.setdefault("num_layers", len(overrides["units"]))
        if "epochs" in overrides:
            overrides["min_steps"] = 1
        return overrides

    @classmethod
    def from_settings(cls, directory: Path | None, settings: Mapping[str, Any]) -> TrainOptions:
        """Return the options from the content of a run.json."""
        overrides = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in settings.items()
            if key not in ("model", "data", "valid", "test", "quick", "seed")
        }
        return cls(directory, DataFiles.from_settings(settings), settings["quick"], settings["seed"], overrides)


def stored_options(name: str, options: TrainOptions) -> TrainOptions:
    """Return the options that the run to resume was started with.

    Args:
        name: Name of the model.
        options: The options passed together with --resume.

    Raises:
        ValueError: If there is no such run, or an option differs from the one that the run was started with.
    """
    directory = options.directory or _latest_unfinished_run(name)
    check_stored_run(directory)
    stored = read_stored_options(directory)
    passed = {"model": name, **options.overrides, **({"quick": True} if options.quick else {})}
    passed |= options.files.settings()
    passed |= {} if options.seed is None else {"seed": options.seed}
    check_unchanged(directory, stored, passed)
    return TrainOptions.from_settings(directory, stored)


def check_stored_run(directory: Path) -> None:
    """Raise a ValueError unless a directory holds an unfinished run with its options."""
    from deeprnn_keras.tasks.run import SETTINGS, check_resumable  # a lazy import, so that --help responds at once

    check_resumable(directory, "--output")
    if not (directory / SETTINGS).is_file():
        raise ValueError(f"--output {str(directory)!r} holds no run to resume: it has no {SETTINGS}")


def check_unchanged(directory: Path, stored: Mapping[str, Any], passed: Mapping[str, Any]) -> None:
    """Raise a ValueError if an option that is passed with --resume differs from the one that the run was started with.

    Args:
        directory: Output directory of the run.
        stored: Options in its run.json; absent or None if they were not passed.
        passed: Options that are passed now.
    """
    for option, value in passed.items():
        value = list(value) if isinstance(value, tuple) else value
        if stored.get(option) != value:
            raise ValueError(
                f"the run in {str(directory)!r} was started "
                f"{format_start(option, stored.get(option), repr(stored.get(option)))}, got {option} = {value!r} with "
                "--resume; leave the option out, or start a new run in another directory"
            )


def _latest_unfinished_run(name: str) -> Path:
    """Return the directory of the most recent unfinished run of a model in 'runs'; damaged runs are named."""
    from deeprnn_keras.tasks.run import CHECKPOINTS

    runs = Path("runs")
    directories = [path.parent for path in runs.glob(f"{name}*/{CHECKPOINTS}") if _stored_model(path.parent) == name]
    if not directories:
        raise ValueError(f"--resume: {str(runs)!r} holds no unfinished run of {name}; pass its directory with --output")
    return max(directories, key=lambda directory: (directory / CHECKPOINTS).stat().st_mtime)


def _stored_model(directory: Path) -> str | None:
    from deeprnn_keras.tasks.run import SETTINGS

    if not (directory / SETTINGS).exists():
        return None
    try:
        return read_stored_options(directory)["model"]
    except DamagedFileError as error:
        click.echo(f"Skipping a damaged run: {error}", err=True)
        return None
