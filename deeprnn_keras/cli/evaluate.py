"""The command `deeprnn evaluate`."""

from __future__ import annotations

from pathlib import Path

import click

from deeprnn_keras.cli.model_argument import MODEL_ARGUMENT, SKIP_UNKNOWN_OPTION, load


@click.command()
@MODEL_ARGUMENT
@click.option(
    "--text",
    "--data",
    "data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Data to score the model on. For language models, a UTF-8 text file; the default is the held-out part of the "
    "King James Bible. For other models, the file that the model's card (deeprnn info) names; the default is the data "
    "set included in the package.",
)
@SKIP_UNKNOWN_OPTION
@click.option(
    "--record",
    is_flag=True,
    help="Measure the duration of a training step; save it and the score in results.csv of the zoo.",
)
def evaluate(model: str, data: Path | None, skip_unknown: bool, record: bool) -> None:
    """Score a trained model.

    MODEL is the name of a zoo model with trained weights, a .keras file, or the output directory of a run.
    """
    from rich.console import Console

    console = Console()
    loaded = load(model, console)
    if record:
        from deeprnn_keras.cli.record_results import record_results

        if skip_unknown:
            raise ValueError("--record does not support --skip-unknown: a recorded score includes every character")
        record_results(model, loaded, data, console)
    else:
        loaded.family.evaluate(loaded.model, loaded.config, data, console, skip_unknown=skip_unknown)
