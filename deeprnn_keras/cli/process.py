"""The command `deeprnn process`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from deeprnn_keras.cli.model_argument import MODEL_ARGUMENT, PROGRAM_SUFFIX, load_keras, load_program

if TYPE_CHECKING:
    from deeprnn_keras.program import Program


def _knobs(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...]:
    """Convert '0.5,0.8' to (0.5, 0.8)."""
    try:
        return tuple(float(knob) for knob in value.split(",")) if value else ()
    except ValueError:
        raise click.BadParameter(f"must be numbers separated by commas, got {value!r}") from None


@click.command()
@MODEL_ARGUMENT
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--knobs", metavar="NUMBERS", callback=_knobs, help="Positions of the knobs, comma-separated: 0.5,0.8.")
@click.option("--resample", is_flag=True, help="Resample a recording of another sample rate, and the result back.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def process(model: str, source: Path, target: Path, knobs: tuple[float, ...], resample: bool, overwrite: bool) -> None:
    """Send a recording through a trained model of an audio effect.

    MODEL is the name of a zoo model with trained weights, a .keras file, the output directory of a run, a file of a
    program, or a .nam file. IN is a WAV file or another that soundfile reads. OUT has the sample rate, the channels,
    and the sample format of IN; each channel passes through the model alone.
    """
    from deeprnn_keras.streaming import process_file

    if target.exists() and not overwrite:
        raise FileExistsError(f"OUT {str(target)!r} exists; pass another path or --overwrite")
    source.stat()  # reports a missing file before the model is loaded
    processed = process_file(_load(model), source, target, knobs=knobs, resample=resample, overwrite=overwrite)
    click.echo(str(processed))


def _load(model: str) -> Program:
    """Return the program of MODEL, if possible without TensorFlow."""
    from rich.console import Console

    from deeprnn_keras.interop.nam_source import read_nam
    from deeprnn_keras.program import Program, lower

    if model.endswith(".nam"):
        return read_nam(model)
    if model.endswith(PROGRAM_SUFFIX):
        return Program.load(model)
    loaded = load_program(model)
    return lower(load_keras(model, Console(stderr=True))) if loaded is None else loaded.program
