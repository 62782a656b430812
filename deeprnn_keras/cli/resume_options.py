"""`deeprnn train --resume`: the directory of the run, and the options that it was started with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrainOptions:
    """Options of `deeprnn train`.

    Attributes:
        directory: Output directory, or None if --output is not given.
        data: File given with --text or --data, or None.
        quick: Whether the run is shortened.
        seed: Random seed, or None if it is not given.
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


def stored_options(name: str, given: TrainOptions) -> TrainOptions:
    """Return the options of the run to resume.

    Args:
        name: Name of the model.
        given: The options given together with --resume.

    Raises:
        ValueError: If there is no such run, or an option differs from the one it was started with.
    """
    from deeprnn_keras.tasks.run import SETTINGS, check_resumable  # here: --help must answer at once

    directory = given.directory or _last(name)
    check_resumable(directory, "--output")
    if not (directory / SETTINGS).is_file():
        raise ValueError(f"--output {str(directory)!r} cannot be resumed: it holds no run")
    stored = json.loads((directory / SETTINGS).read_text(encoding="utf-8"))
    asked = {"model": name, **given.overrides, **({"quick": True} if given.quick else {})}
    asked |= {} if given.data is None else {"data": str(given.data.absolute())}
    asked |= {} if given.seed is None else {"seed": given.seed}
    for option, value in asked.items():
        value = list(value) if isinstance(value, tuple) else value
        if stored.get(option) != value:
            raise ValueError(
                f"the run in {str(directory)!r} was started with {option} = {stored.get(option)!r}, got {option} = "
                f"{value!r} with --resume; leave the option out, or start a new run in another directory"
            )
    fixed = {key: stored.pop(key) for key in ("model", "data", "quick", "seed")}
    overrides = {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
    return TrainOptions(directory, fixed["data"] and Path(fixed["data"]), fixed["quick"], fixed["seed"], overrides)


def _last(name: str) -> Path:
    """Return the directory of the most recent unfinished run of a model in 'runs'."""
    from deeprnn_keras.tasks.run import CHECKPOINTS

    runs = Path("runs")
    directories = [path.parent for path in runs.glob(f"{name}*/{CHECKPOINTS}") if _model_in(path.parent) == name]
    if not directories:
        raise ValueError(f"--resume: {str(runs)!r} holds no unfinished run of {name}; pass its directory with --output")
    return max(directories, key=lambda directory: (directory / CHECKPOINTS).stat().st_mtime)


def _model_in(directory: Path) -> str | None:
    from deeprnn_keras.tasks.run import SETTINGS

    path = directory / SETTINGS
    return json.loads(path.read_text(encoding="utf-8")).get("model") if path.is_file() else None
