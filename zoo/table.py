"""Page of the zoo, `zoo/README.md`, generated from the entries and `results.csv`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deeprnn_keras.tasks import families
from deeprnn_keras.writing import save_text
from deeprnn_keras.zoo.registry import info, list_models
from deeprnn_keras.zoo.results import STEP_TIME, results_of

README = Path(__file__).with_name("README.md")
INTRODUCTION = """\
# Model zoo

Deep recurrent networks by name. `deeprnn info NAME` shows the card of a model: a diagram of its stack, the paper, the
training recipe, and the differences from the paper. `zoo.create_model(NAME)` returns the compiled model. If the last
column lists trained weights, which are part of the package, `zoo.create_model(NAME, pretrained=True)` loads them.

This page is generated from the entries and from [results.csv](results.csv), which only `deeprnn evaluate NAME --record`
writes. "Published" is the result stated in the source; "measured" is the result obtained in this project. The last line
of the page states the device and the package versions of the measurements. "ms per update" is the duration of a
training update in milliseconds, with the batch size n and the number of steps T of the recipe, timed separately.
"Training run" is the wall-clock duration of the run behind the measured result, which is also the run that produced the
trained weights.
"""
HEADINGS = (
    "name",
    "architecture",
    "parameters",
    "published",
    "measured",
    "ms per update",
    "training run",
    "trained weights",
)


def build_page() -> str:
    """Return the page for the current entries and results."""
    tasks = sorted({info(name).task for name in list_models()}, key=lambda task: (families()[task].order, task))
    parts = [INTRODUCTION, *(f"## {task.capitalize()}\n\n{_table(list_models(task=task))}" for task in tasks)]
    return "\n".join([*parts, _devices()]).rstrip() + "\n"


def write_page(path: Path = README) -> None:
    """Write the page."""
    save_text(build_page(), path)


def _table(names: Sequence[str]) -> str:
    rows = [HEADINGS, tuple("---" for _ in HEADINGS), *map(_row, names)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(name: str) -> tuple[str, ...]:
    config, results = info(name), results_of(name)
    scores = [
        f"{result.value} {result.metric}, {result.data}, {result.split}"
        for result in results
        if result.metric != STEP_TIME
    ]
    times = [result.value for result in results if result.metric == STEP_TIME]
    weights = config.weights
    cells = (
        f"`{name}`",
        config.architecture(),
        f"{config.count_params():,}",
        config.published or "",
        "; ".join(scores),
        ", ".join(times),
        ", ".join(dict.fromkeys(f"{int(result.steps):,} updates, {result.minutes} min" for result in results)),
        f"{weights.dtype}, seed {weights.seed}" if weights else "",
    )
    return tuple(cell.replace("|", "/") for cell in cells)


def _devices() -> str:
    devices = sorted({(result.device, result.versions) for name in list_models() for result in results_of(name)})
    return "".join(f"Measured on {device} ({versions}).\n" for device, versions in devices)
