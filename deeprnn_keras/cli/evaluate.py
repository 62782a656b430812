"""`deeprnn evaluate`."""

from __future__ import annotations

from pathlib import Path

import click

from deeprnn_keras.cli.model_argument import MODEL, SKIP, load


@click.command()
@MODEL
@click.option(
    "--text",
    "--data",
    "data",
    type=click.Path(path_type=Path),
    help="Data to score on: for language models a UTF-8 text file, by default the held-out part of the King James "
    "Bible; for other models the file that their card names, by default the data in the package.",
)
@SKIP
@click.option("--record", is_flag=True, help="Write the figures, and milliseconds, to the zoo's results.csv.")
def evaluate(model: str, data: Path | None, skip_unknown: bool, record: bool) -> None:
    """Score MODEL: a model of the zoo with trained weights, a .keras file, or the directory of a run."""
    from rich.console import Console

    console = Console()
    loaded = load(model, console)
    if record:
        from deeprnn_keras.cli.record_results import record_results

        if skip_unknown:
            raise ValueError("--record counts every character; leave out --skip-unknown")
        record_results(model, loaded, data, console)
    else:
        loaded.family.evaluate(loaded.model, loaded.config, data, console, skip_unknown=skip_unknown)
