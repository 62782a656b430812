"""`deeprnn evaluate --record`: save the scores of a zoo model and the details of its training in results.csv."""

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
class TrainingDetails:
    """Seed, duration, and environment of a training run.

    Attributes:
        seed: Random seed.
        updates: Number of updates.
        minutes: Duration in minutes.
        device: Name of the device.
        versions: Versions of the packages, as text.
    """

    seed: int
    updates: int
    minutes: float
    device: str
    versions: str


def record_results(argument: str, loaded: LoadedModel, path: Path | None, console: Console) -> None:
    """Score a zoo model, time a training step, and save both in results.csv and on the zoo's page.

    Args:
        argument: The argument MODEL: a name of the zoo, or the directory of a run.
        loaded: The model.
        path: File passed with --data, for models whose data are not included; or None.
        console: A `rich.console.Console`.

    Raises:
        ValueError: If the model was not trained with an unmodified configuration of the zoo, or the data are not those
            of the configuration.
    """
    from deeprnn_keras import progress, zoo
    from deeprnn_keras.training.device import device_name
    from deeprnn_keras.training.step_time import step_ms
    from deeprnn_keras.zoo import results, table

    config = zoo.info(argument if argument in zoo.list_models() else loaded.model.name)
    training = _training_details(config, argument)
    with progress.shown(console, "Scoring", "batches"):
        record = config.family.evaluation_record(config, loaded.model, path)
    common = {"name": config.name, "data": record.data, "seed": str(training.seed), "steps": str(training.updates)}
    common |= {"minutes": f"{training.minutes:.1f}", "versions": training.versions}
    rows = [
        results.Result(split=record.split, metric=metric, value=f"{value:.4f}", device=training.device, **common)
        for metric, value in record.metrics.items()
    ]
    with console.status("timing training steps"):
        ms = step_ms(config.build(), tuple(record.training_batch))
    common["versions"] = _format_versions({**_installed_versions(), "python": platform.python_version()})
    rows.append(
        results.Result(split="train", metric=results.STEP_TIME, value=f"{ms:.1f}", device=device_name(), **common)
    )
    results.record_results(rows)
    table.write_page()
    for row in rows:
        console.print(f"[bold]{row.metric:>20}[/]  {row.value}   {row.data}, {row.split}")
    console.print(f"Saved to {results.FILE} and {table.README}", soft_wrap=True)


def _training_details(config: Configuration, argument: str) -> TrainingDetails:
    from deeprnn_keras.zoo import trained
    from deeprnn_keras.zoo.publish import read_finished_run

    if argument == config.name:
        record = trained.read_record(argument)
        assert record is not None  # not None, since the weights have been loaded
        return TrainingDetails(
            record.seed, record.updates, record.minutes, record.device, _format_versions(record.versions)
        )
    result = read_finished_run(argument, config)
    versions = _format_versions({**result.versions, "python": result.python})
    return TrainingDetails(result.seed, result.updates, result.seconds / 60, result.device, versions)


def _installed_versions() -> dict[str, str]:
    return {name: version(name) for name in ("keras", "tensorflow")}


def _format_versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items() if name != "deeprnn-keras")
