"""The zoo's page, `zoo/README.md`, generated from the entries and `results.csv`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deeprnn_keras.tasks import families
from deeprnn_keras.training.files import save_text
from deeprnn_keras.zoo.registry import info, list_models
from deeprnn_keras.zoo.results import STEP_TIME, results_of

README = Path(__file__).with_name("README.md")
HEAD = """\
# The zoo

Deep recurrent networks by name. `deeprnn info NAME` shows a model's card: its stack as a picture, paper, recipe, what
differs from the paper. `zoo.create_model(NAME)` builds it, compiled, `zoo.create_model(NAME, pretrained=True)` with
trained weights where the table says so; they come with the package.

This page is made from the entries and from [results.csv](results.csv), which only `deeprnn evaluate NAME --record`
writes. "Ours" was measured by this project, "published" stands in the source. Milliseconds are those of a training
update by the entry's recipe, n sequences of T steps, on the device below the tables.
"""
HEADINGS = ("name", "L x h, cell", "weights", "published", "ours", "ms an update", "trained weights")


def build_page() -> str:
    """Return the page for the present entries and results."""
    tasks = sorted({info(name).task for name in list_models()}, key=lambda task: (families()[task].order, task))
    parts = [HEAD, *(f"## {task.capitalize()}\n\n{_table(list_models(task=task))}" for task in tasks)]
    return "\n".join([*parts, _devices()]).rstrip() + "\n"


def write_page(path: Path = README) -> None:
    """Write the page."""
    save_text(build_page(), path)


def _table(names: Sequence[str]) -> str:
    rows = [HEADINGS, tuple("---" for _ in HEADINGS), *map(_row, names)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(name: str) -> tuple[str, ...]:
    config, results = info(name), results_of(name)
    ours = [f"{one.value} {one.metric}, {one.data}, {one.split}" for one in results if one.metric != STEP_TIME]
    times = [one.value for one in results if one.metric == STEP_TIME]
    trained = config.weights
    cells = (
        f"`{name}`",
        config.architecture(),
        f"{config.count_params():,}",
        config.published or "",
        "; ".join(ours),
        ", ".join(times),
        f"{trained.dtype}, seed {trained.seed}" if trained else "",
    )
    return tuple(cell.replace("|", "/") for cell in cells)


def _devices() -> str:
    found = sorted({(one.device, one.versions) for name in list_models() for one in results_of(name)})
    return "".join(f"Measured on {device} ({versions}).\n" for device, versions in found)
