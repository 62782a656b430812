"""Options of `deeprnn train`, and the stored options of a run for --resume."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deeprnn_keras.cli.option_types import format_start


@dataclass(frozen=True)
class TrainOptions:
    """Options of `deeprnn train`.

    Attributes:
        directory: Output directory, or None if --output was not passed.
        data: File passed with --text or --data, or None.
        quick: Whether the run is shortened.
        seed: Random seed, or None if it was not passed.
        overrides: Fields of the configuration and the recipe to replace.
    """

    directory: Path | None
    data: Path | None
    quick: bool
    seed: int | None
    overrides: dict[str, Any]

    def settings(self, name: str) -> dict[str, Any]:
        """Return the content of run.json for a run of the model `name`."""
        data = None if self.data is None else str(self.data.absolute())
        return {"model": name, "data": data, "quick": self.quick, "seed": self.seed or 0, **self.overrides}


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
    passed |= {} if options.data is None else {"data": str(options.data.absolute())}
    passed |= {} if options.seed is None else {"seed": options.seed}
    for option, value in passed.items():
        value = list(value) if isinstance(value, tuple) else value
        if stored.get(option) != value:
            raise ValueError(
                f"the run in {str(directory)!r} was started "
                f"{format_start(option, stored.get(option), repr(stored.get(option)))}, got {option} = {value!r} with "
                "--resume; leave the option out, or start a new run in another directory"
            )
    fixed = {key: stored.pop(key) for key in ("model", "data", "quick", "seed")}
    overrides = {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
    return TrainOptions(directory, fixed["data"] and Path(fixed["data"]), fixed["quick"], fixed["seed"], overrides)


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
