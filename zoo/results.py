"""`results.csv`: measured results of the zoo's models, written by `deeprnn evaluate --record` only."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from deeprnn_keras.training.files import save_text

FILE = Path(__file__).with_name("results.csv")
STEP_TIME = "ms per update"


@dataclass(frozen=True)
class Result:
    """One figure of one model.

    Attributes:
        name: Name of the entry.
        data: Data that were scored.
        split: Part of the data.
        metric: Such as "bits per character".
        value: Value with four decimals.
        seed: Random seed of the training.
        steps: Updates of the training.
        minutes: Minutes of the training.
        device: Device of the training, or of the measurement for milliseconds.
        versions: Versions of the packages at that time.
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
    if not Path(path).is_file():
        return []
    with Path(path).open(encoding="utf-8", newline="") as file:
        return [Result(**row) for row in csv.DictReader(file)]


def record_results(results: Iterable[Result], path: Path = FILE) -> None:
    """Add results, replacing those of the same name, data, split, metric, and seed."""
    by_key = {_key(result): result for result in [*read_results(path), *results]}
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Result)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(by_key[key]) for key in sorted(by_key))
    save_text(text.getvalue(), path)


def results_of(name: str, path: Path = FILE) -> list[Result]:
    """Return the results of one entry: its scores, then its milliseconds."""
    found = [result for result in read_results(path) if result.name == name]
    return sorted(found, key=lambda result: result.metric == STEP_TIME)


def shown(result: Result) -> str:
    """Return text such as '1.4393 bits per character (King James Bible, validation, seed 0)'."""
    return f"{result.value} {result.metric} ({result.data}, {result.split}, seed {result.seed})"


def _key(result: Result) -> tuple[str, ...]:
    return result.name, result.data, result.split, result.metric, result.seed
