"""The command `deeprnn export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deeprnn_keras.cli.model_argument import MODEL_ARGUMENT, PROGRAM_SUFFIX, load_keras

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from deeprnn_keras.program import Program


@click.command()
@MODEL_ARGUMENT
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--format", help="Format of the file.  [default: by the suffix of PATH]")
@click.option("--streaming", is_flag=True, help="Write a file that executes one step and returns its states.")
@click.option("--batch-size", type=int, help="Batch size of the file.  [default: any, where the format allows it]")
@click.option("--quantize", help="int8: store weights with 8 bits.  [default: 32 bits]")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--no-verify", is_flag=True, help="Do not execute the file and compare it with the model.")
def export(model: str, path: Path, no_verify: bool, **options: Any) -> None:
    """Export a trained model to a file of another runtime.

    The file runs without this package. MODEL is the name of a zoo model with trained weights, a .keras file, the output
    directory of a run, or a file of a program. The suffix of PATH selects the format; without a suffix, a SavedModel is
    written.
    """
    from rich.console import Console

    from deeprnn_keras.exporters import export as export_model

    loaded = _load(model, Console(stderr=True))
    click.echo(str(export_model(loaded, path, verify=not no_verify, **options)))


def _load(model: str, console: Console) -> keras.Model | Program:
    from deeprnn_keras.program import Program

    return Program.load(model) if model.endswith(PROGRAM_SUFFIX) else load_keras(model, console)
