"""The command `deeprnn generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deeprnn_keras.cli.model_argument import MODEL_ARGUMENT, SKIP_UNKNOWN_OPTION, load


@click.command()
@MODEL_ARGUMENT
@click.option("--prompt", help="Text to continue.")
@click.option(
    "--length",
    type=int,
    help="Number of characters, words, or bytes to generate; for music, of frames.  [default: 400; music: 128]",
)
@click.option(
    "--temperature",
    type=float,
    help="Sampling temperature, > 0. Values below 1 sharpen the distribution.  [default: 0.7; music: 0.9]",
)
@click.option(
    "--notes", type=int, help="For music, a fixed number of notes per frame.  [default: each note is sampled]"
)
@click.option(
    "--seed",
    type=int,
    help="Random seed for sampling and, for music, for the choice of the test piece.  [default: random; first piece]",
)
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="For music, the MIDI file to write.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Data file of a music model whose data are not included in the package.",
)
@SKIP_UNKNOWN_OPTION
def generate(model: str, **options: Any) -> None:
    """Continue a text or a piece of music with a trained model.

    MODEL is the name of a zoo model with trained weights, a .keras file, or the output directory of a run. A language
    model continues --prompt and prints the text. A music model continues the opening of a test piece and writes a MIDI
    file.
    """
    from rich.console import Console

    console = Console(stderr=True)
    loaded = load(model, console)
    passed = {name: value for name, value in options.items() if value is not None and value is not False}
    loaded.family.generate(loaded.model, loaded.config, passed, console)
