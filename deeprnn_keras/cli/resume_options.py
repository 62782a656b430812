"""Options of `deeprnn train`, and the stored options of a run for --resume."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deeprnn_keras.cli.option_types import format_start
from deeprnn_keras.data.data_files import DataFiles


@dataclass(frozen=True)
class TrainOptions:
    """Options of `deeprnn train`.

    Attributes:
        directory: Output directory, or None if --output was not passed.
        files: Files passed with --text or --data, --valid, and --test.
        quick: Whether the run is shortened.
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
    from deeprnn_keras.tasks.run import SETTINGS, check_resumable  # a lazy import, so that --help responds at once

    directory = options.directory or _latest_unfinished_run(name)
    check_resumable(directory, "--output")
    if not (directory / SETTINGS).is_file():
        raise ValueError(f"--output {str(directory)!r} holds no run to resume: it has no {SETTINGS}")
    stored = json.loads((directory / SETTINGS).read_text(encoding="utf-8"))
    passed = {"model": name, **options.overrides, **({"quick": True} if options.quick else {})}
    passed |= options.files.settings()
    passed |= {} if options.seed is None else {"seed": options.seed}
    for option, value in passed.items():
        value = list(value) if isinstance(value, tuple) else value
        if stored.get(option) != value:
            raise ValueError(
                f"the run in {str(directory)!r} was started "
                f"{format_start(option, stored.get(option), repr(stored.get(option)))}, got {option} = {value!r} with "
                "--resume; leave the option out, or start a new run in another directory"
            )
    return TrainOptions.from_settings(directory, stored)


def _latest_unfinished_run(name: str) -> Path:
    """Return the directory of the most recent unfinished run of a model in 'runs'."""
    from deeprnn_keras.tasks.run import CHECKPOINTS

    runs = Path("runs")
    directories = [path.parent for path in runs.glob(f"{name}*/{CHECKPOINTS}") if _stored_model(path.parent) == name]
    if not directories:
        raise ValueError(f"--resume: {str(runs)!r} holds no unfinished run of {name}; pass its directory with --output")
    return max(directories, key=lambda directory: (directory / CHECKPOINTS).stat().st_mtime)


def _stored_model(directory: Path) -> str | None:
    from deeprnn_keras.tasks.run import SETTINGS

    path = directory / SETTINGS
    return json.loads(path.read_text(encoding="utf-8")).get("model") if path.is_file() else None
