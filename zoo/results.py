"""`results.csv`: what models of the zoo reached here. Only `deeprnn evaluate --record` writes it."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from deeprnn_keras.training.files import save_text

FILE = Path(__file__).with_name("results.csv")
STEP_TIME = "ms per update"


@dataclass(frozen=True)
class Result:
    """One figure of one model.

    Attributes:
        name: of the entry.
        data, split: what it was measured on.
        metric, value: such as "bits per character", to four digits behind the point.
        seed, steps, minutes: of the training, steps in updates.
        device: that trained it, or, for milliseconds, that was measured.
        versions: of the packages then.
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


def read_results(path=FILE):
    """All `Result`s, by name, data, split and metric."""
    if not Path(path).is_file():
        return []
    with Path(path).open(encoding="utf-8", newline="") as file:
        return [Result(**row) for row in csv.DictReader(file)]


def record_results(results, path=FILE):
    """Adds `Result`s; one of the same name, data, split, metric and seed is replaced."""
    kept = {_place(result): result for result in [*read_results(path), *results]}
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Result)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(kept[place]) for place in sorted(kept))
    save_text(text.getvalue(), path)


def results_of(name, path=FILE):
    """The `Result`s of one entry: its figures, then its milliseconds."""
    found = [result for result in read_results(path) if result.name == name]
    return sorted(found, key=lambda result: result.metric == STEP_TIME)


def shown(result):
    """Such as '1.4393 bits per character (King James Bible, validation, seed 0)'."""
    return f"{result.value} {result.metric} ({result.data}, {result.split}, seed {result.seed})"


def _place(result):
    return result.name, result.data, result.split, result.metric, result.seed
