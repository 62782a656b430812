"""File of results: the measurements, their environment, and their settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, TypeVar, cast

from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.reading import read_record
from deeprnn_keras.writing import save_json

if TYPE_CHECKING:
    from deeprnn_keras.bench.settings import Settings

Figures: TypeAlias = "dict[str, Any]"
"""Measurements of one implementation, or {"error": message}."""

CaseFigures: TypeAlias = "dict[str, Figures]"
"""Figures of each implementation by name."""


class Options(TypedDict, total=False):
    """Options of `deeprnn bench kernels`; those that were not passed are absent."""

    sizes: list[str]
    cells: list[str]
    modes: list[str]
    implementations: list[str]
    rounds: int
    seconds: float
    seed: int
    quick: bool
    no_memory: bool
    no_epoch: bool
    epoch_updates: int


class Results(TypedDict):
    """Content of the file.

    Attributes:
        options: Options that the measurement was started with.
        about: Device, versions, settings, and date.
        cases: Figures of each case by key.
        memory: Figures of the memory measurement.
        epoch: Figures of the training epochs.
        notes: Remarks for the report.
    """

    options: Options
    about: Config
    cases: dict[str, CaseFigures]
    memory: CaseFigures
    epoch: CaseFigures
    notes: list[str]


ResultsType = TypeVar("ResultsType", bound=Results)

FILE = "results.json"
RECORDED_SETTINGS = ("seed", "rounds", "seconds", "epoch_updates")
# measurements in one file must agree in these
COMMON_METADATA = ("device", "versions", "python", *RECORDED_SETTINGS)


def run_metadata(settings: Settings, environment: Config) -> Config:
    """Return the metadata of a run: environment, seed, lengths, and date."""
    recorded = {name: getattr(settings, name) for name in RECORDED_SETTINGS}
    return {**environment, **recorded, "date": date.today().isoformat()}


def new_results(about: Config, options: Options | None = None) -> Results:
    """Return results without measurements.

    Args:
        about: Metadata of the run.
        options: Options of the command, or None if it was not used.
    """
    return {"options": options or {}, "about": about, "cases": {}, "memory": {}, "epoch": {}, "notes": []}


def load_results(directory: PathLike) -> Results | None:
    """Return the results in a directory, or None if there are none."""
    path = Path(directory) / FILE
    return read_record(path, Results, "the results of a measurement") if path.exists() else None


def save_results(results: Mapping[str, object], directory: PathLike) -> None:
    """Write the results in one atomic step."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    save_json(results, directory / FILE)


def resume_results(results: ResultsType, about: Config, common: Sequence[str] = COMMON_METADATA) -> ResultsType:
    """Return `results` with the metadata of the current run.

    Args:
        results: The existing results.
        about: Metadata of the current run.
        common: Keys of the metadata in which both must agree.

    Raises:
        ValueError: If the results were measured with another device, version, or setting.
    """
    for name in common:
        if results["about"].get(name) != about[name]:
            raise ValueError(
                f"resume: the existing results were measured with {name} {results['about'].get(name)!r}, this run has "
                f"{about[name]!r}; pass another output directory, or start a new run without resume"
            )
    return cast("ResultsType", {**results, "about": about})


def is_complete(figures: Mapping[str, Figures], names: Iterable[str]) -> bool:
    """Return True if all implementations were measured without an error."""
    return all(name in figures and "error" not in figures[name] for name in names)
