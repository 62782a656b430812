"""Options of `deeprnn tune`, and with --resume those that the search was started with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deeprnn_keras import checks
from deeprnn_keras.cli.option_types import OWN, format_range
from deeprnn_keras.cli.output_directory import unused_directory

SETTINGS = "tune.json"
BUDGET = ("params", "max_params", "max_step_ms")
SEARCH = ("algorithm", "trials", "minutes", "updates", "seed")
DEFAULTS = {"algorithm": "bayesian", "seed": 0}
TRIALS = 20


def resolve_options(
    name: str, output: Path | None, data: Path | None, given: dict[str, Any], resume: bool, child: bool
) -> tuple[Path, dict[str, Any]]:
    """Return directory and settings of a search.

    Args:
        name: Name of the model.
        output: Directory given with --output, or None.
        data: File given with --text, or None.
        given: The other options that were given.
        resume: Whether the search exists.
        child: Whether this process is a chief or a worker, which needs no empty directory.

    Raises:
        ValueError: If there is no search to resume, or an option differs from the one it was started with.
    """
    asked = {"model": name, "text": data and str(data.absolute()), **_grouped(given)}
    if resume:
        directory = Path(output) if output else _last(name)
        return directory, _stored(directory, asked)
    directory = Path("runs") / f"tune_{name}"
    if output:
        directory = Path(output) if child else checks.new_directory("--output", output)
    elif not child:
        directory = unused_directory(directory)
    search = {**DEFAULTS, **asked["search"]}
    if search["algorithm"] in ("bayesian", "random"):
        search.setdefault("trials", TRIALS)
    return directory, {**asked, "search": {"trials": None, **search}}


def _grouped(given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {"ranges": {}, "budget": {}, "search": {}}
    for key, value in given.items():
        groups["budget" if key in BUDGET else "search" if key in SEARCH else "ranges"][key] = value
    return groups


def to_json(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as plain values."""
    return {**settings, "ranges": {key: _packed(value) for key, value in settings["ranges"].items()}}


def _packed(value: Any) -> Any:
    if value is OWN:
        return {"own": True}
    return {"between": list(value)} if isinstance(value, tuple) else value


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        return OWN if "own" in value else tuple(value["between"])
    return value


def _stored(directory: Path, asked: dict[str, Any]) -> dict[str, Any]:
    path = directory / SETTINGS
    if not path.is_file():
        raise ValueError(f"--output {str(directory)!r} cannot be resumed: it holds no search")
    if (directory / "preset").exists():
        raise ValueError(f"--output {str(directory)!r} cannot be resumed: its search has finished")
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["ranges"] = {key: _unpacked(value) for key, value in stored["ranges"].items()}
    before = {"model": stored["model"], "text": stored["text"]}
    now = {"model": asked["model"], **({"text": asked["text"]} if asked["text"] else {})}
    for group in ("ranges", "budget", "search"):
        before |= stored[group]
        now |= asked[group]
    for key, value in now.items():
        if before.get(key) != value:
            raise ValueError(
                f"the search in {str(directory)!r} was started with {key} = {format_range(before.get(key))}, got {key} = "
                f"{format_range(value)} with --resume; leave the option out, or start a new search in another directory"
            )
    return stored


def _last(name: str) -> Path:
    """Return the directory of the most recent unfinished search for a model in 'runs'."""
    found = [path.parent for path in Path("runs").glob(f"*/{SETTINGS}") if not (path.parent / "preset").exists()]
    found = [directory for directory in found if json.loads((directory / SETTINGS).read_text())["model"] == name]
    if not found:
        raise ValueError(f"--resume: 'runs' holds no unfinished search for {name}; pass its directory with --output")
    return max(found, key=lambda directory: (directory / SETTINGS).stat().st_mtime)
