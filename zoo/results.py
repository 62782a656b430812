"""Measured results of the models of the zoo in `results.csv`, which only `deeprnn evaluate --record` writes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from deeprnn_keras.reading import build_dataclass, damage_reported, read_bytes
from deeprnn_keras.writing import save_text

FILE = Path(__file__).with_name("results.csv")
STEP_TIME = "ms per update"


@dataclass(frozen=True)
class Result:
    """Value of one metric of one model.

    Attributes:
        name: Name of the model.
        data: Name of the dataset.
        split: Part of the dataset: "train", "validation", or "test".
        metric: Name of the metric, for example "bits per character".
        value: Value as text.
        seed: Random seed of the run.
        steps: Number of updates of the run.
        minutes: Wall-clock duration of the run in minutes, the same in all rows of a run.
        device: Device on which the model was trained or, for a step time, measured.
        versions: Package versions with which the model was trained or, for a step time, measured.
    """

    name: str
    data: str
    split: str
    metric: str
    value: str
    seed: str
    steps: str
    minutes: str
    device: str
    versions: str


def read_results(path: Path = FILE) -> list[Result]:
    """Return all results, sorted by name, data, split, and metric."""
    if not Path(path).exists():
        return []
    with damage_reported(path, "a file of results"):
        rows = csv.DictReader(io.StringIO(read_bytes(path).decode("utf-8"), newline=""))
        return [build_dataclass(Result, row) for row in rows]


def record_results(results: Iterable[Result], path: Path = FILE) -> None:
    """Add results, replacing those with the same name, data, split, metric, and seed."""
    by_key = {_key(result): result for result in [*read_results(path), *results]}
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Result)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(by_key[key]) for key in sorted(by_key))
    save_text(text.getvalue(), path)


def results_of(name: str, path: Path = FILE) -> list[Result]:
    """Return the results of one model, the step time last."""
    results = [result for result in read_results(path) if result.name == name]
    return sorted(results, key=lambda result: result.metric == STEP_TIME)


def format_result(result: Result) -> str:
    """Return a result as text, for example '1.4393 bits per character (King James Bible, validation, seed 0)'."""
    return f"{result.value} {result.metric} ({result.data}, {result.split}, seed {result.seed})"


def _key(result: Result) -> tuple[str, ...]:
    return result.name, result.data, result.split, result.metric, result.seed
