"""The command `deeprnn generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deeprnn_keras.cli.model_argument import MODEL_ARGUMENT, SKIP_UNKNOWN_OPTION, load


@click.command()
@MODEL_ARGUMENT
@click.option("--prompt", help="Text to continue.")
@click.option("--length", type=int, help="Number of characters or, for music, frames.  [default: 400; music: 128]")
@click.option(
    "--temperature",
    type=float,
    help="Sampling temperature, > 0. Values below 1 sharpen the distribution.  [default: 0.7; music: 0.9]",
)
@click.option("--notes", type=int, help="Number of notes per frame, for music.  [default: sampled]")
@click.option("--seed", type=int, help="Random seed for sampling.  [default: random]")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="MIDI file to save, for music.")
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="FILE", help="Data file, for music models without included data."
)
@SKIP_UNKNOWN_OPTION
def generate(model: str, **options: Any) -> None:
    """Continue a text or a piece of music with a trained model.

    MODEL is the name of a zoo model with trained weights, a .keras file, or the output directory of a run. A language
    model continues --prompt. A music model continues the opening of a test piece, which --seed selects, and saves a
    MIDI file.
    """
    from rich.console import Console

    console = Console(stderr=True)
    loaded = load(model, console)
    passed = {name: value for name, value in options.items() if value is not None and value is not False}
    loaded.family.generate(loaded.model, loaded.config, passed, console)
