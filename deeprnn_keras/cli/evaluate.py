"""The command `deeprnn evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from deeprnn_keras.cli.model_argument import (
    MODEL_ARGUMENT,
    SKIP_UNKNOWN_OPTION,
    TEST_OPTION,
    VALID_OPTION,
    LoadedModel,
    data_option,
    load,
)
from deeprnn_keras.cli.run_data import run_data
from deeprnn_keras.data.data_files import DataFiles

if TYPE_CHECKING:
    from rich.console import Console


@click.command()
@MODEL_ARGUMENT
@data_option(
    "Data to score the model on. For language models, a UTF-8 text file, a Parquet file with a column text, or a "
    "directory of such files, which may be larger than memory; for other models, the file that the model's card "
    "(deeprnn info) names. The default is the held-out part of the data that the model was trained on."
)
@VALID_OPTION
@TEST_OPTION
@SKIP_UNKNOWN_OPTION
@click.option(
    "--record",
    is_flag=True,
    help="Measure the duration of a training step; save it and the score in results.csv of the zoo.",
)
def evaluate(
    model: str, data: Path | None, valid: Path | None, test: Path | None, skip_unknown: bool, record: bool
) -> None:
    """Score a trained model.

    MODEL is the name of a zoo model with trained weights, a .keras file, or the output directory of a run. The report
    names the data. --valid and --test are scored one after the other.
    """
    from rich.console import Console

    console, files = Console(), DataFiles(data, valid, test)
    loaded = load(model, console)
    family, config = loaded.family, loaded.config
    if config is not None:
        family.check_options(config, files.official())
    if record:
        _record(model, loaded, files, skip_unknown, console)
        return
    paths = [path for path in (data, valid, test) if path is not None]
    run = None if paths else run_data(model, loaded)
    if run is not None:
        family.evaluate_data(loaded.model, *run, console, skip_unknown=skip_unknown)
        return
    for path in paths or [None]:
        family.evaluate(loaded.model, config, path, console, skip_unknown=skip_unknown)


def _record(model: str, loaded: LoadedModel, files: DataFiles, skip_unknown: bool, console: Console) -> None:
    from deeprnn_keras.cli.record_results import record_results

    if skip_unknown or files.official():
        raise ValueError(
            "--record does not support --skip-unknown, --valid, and --test: a recorded score includes every symbol of "
            "the configuration's own validation text"
        )
    record_results(model, loaded, files.data, console)
