"""`deeprnn generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deeprnn_keras.cli.model_argument import MODEL, SKIP, load


@click.command()
@MODEL
@click.option("--prompt", help="Beginning of the text.")
@click.option("--length", type=int, help="Characters to add; for music, frames.  [default: 400; music: 128]")
@click.option(
    "--temperature",
    type=float,
    help="Sampling temperature, > 0; values below 1 sharpen the distribution.  [default: 0.7; music: 0.9]",
)
@click.option("--notes", type=int, help="Number of notes in each frame of music; by default it is sampled.")
@click.option("--seed", type=int, help="Random seed, for the same result each time.")
@click.option("--output", type=click.Path(path_type=Path), help="MIDI file to write; for music.")
@click.option("--data", type=click.Path(path_type=Path), help="Data file, for models of music that come without.")
@SKIP
def generate(model: str, **options: Any) -> None:
    """Continue --prompt with MODEL: a model of the zoo with trained weights, a .keras file, or the directory of a run.

    A model of music continues the opening of a test piece, which --seed selects, and writes a MIDI file.
    """
    from rich.console import Console

    console = Console(stderr=True)
    loaded = load(model, console)
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    loaded.family.generate(loaded.model, loaded.config, given, console)
