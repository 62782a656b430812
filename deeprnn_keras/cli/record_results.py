"""`deeprnn evaluate --record`: write the figures of an entry, and how it was trained, into the zoo's table."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras.cli.model_argument import LoadedModel
    from deeprnn_keras.zoo import Configuration


@dataclass(frozen=True)
class Training:
    """Seed, length, and environment of a training."""

    seed: int
    updates: int
    minutes: float
    device: str
    versions: str


def record_results(argument: str, loaded: LoadedModel, path: Path | None, console: Console) -> None:
    """Score an entry on its own data, time its training step, and write both into results.csv and the page.

    Args:
        argument: What the user called the model: a name of the zoo, or the directory of a run.
        loaded: The model.
        path: The file given with --data, for entries that come without data, or None.
        console: A `rich.console.Console`.

    Raises:
        ValueError: If the model is not an unmodified entry.
    """
    from deeprnn_keras import zoo
    from deeprnn_keras.training.device import device_name
    from deeprnn_keras.training.step_time import step_ms
    from deeprnn_keras.zoo import results, table

    config = zoo.info(argument if argument in zoo.list_models() else loaded.model.name)
    training = _training(config, argument)
    with console.status("scoring"):
        record = config.family.evaluation_record(config, loaded.model, path)
    about = {"name": config.name, "data": record.data, "seed": str(training.seed), "steps": str(training.updates)}
    about |= {"minutes": f"{training.minutes:.1f}", "versions": training.versions}
    rows = [
        results.Result(split=record.split, metric=metric, value=f"{value:.4f}", device=training.device, **about)
        for metric, value in record.metrics.items()
    ]
    with console.status("timing training steps"):
        ms = step_ms(config.build(), tuple(record.training_batch))
    about["versions"] = _text_of({**_installed(), "python": platform.python_version()})
    rows.append(
        results.Result(split="train", metric=results.STEP_TIME, value=f"{ms:.1f}", device=device_name(), **about)
    )
    results.record_results(rows)
    table.write_page()
    for row in rows:
        console.print(f"[bold]{row.metric:>20}[/]  {row.value}   {row.data}, {row.split}")
    console.print(f"Saved to {results.FILE} and {table.README}", soft_wrap=True)


def _training(config: Configuration, argument: str) -> Training:
    from deeprnn_keras.zoo import trained
    from deeprnn_keras.zoo.publish import read_finished_run

    if argument == config.name:
        found = trained.read_record(argument)
        return Training(found.seed, found.updates, found.minutes, found.device, _text_of(found.versions))
    result = read_finished_run(argument, config)
    versions = {**result["versions"], "python": result["python"]}
    return Training(result["seed"], result["updates"], result["seconds"] / 60, result["device"], _text_of(versions))


def _installed() -> dict[str, str]:
    return {name: version(name) for name in ("keras", "tensorflow")}


def _text_of(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items() if name != "deeprnn-keras")
