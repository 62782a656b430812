"""The command `deeprnn generate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deeprnn_keras.cli.exit_codes import INTERRUPTED
from deeprnn_keras.cli.model_argument import MODEL_ARGUMENT, SKIP_UNKNOWN_OPTION, load, load_program

if TYPE_CHECKING:
    from rich.console import Console


@click.command()
@MODEL_ARGUMENT
@click.option("--prompt", help="Text to continue.")
@click.option(
    "--length",
    type=int,
    help="Number of characters, words, or bytes to generate; for music, of frames; for handwriting, of points.  "
    "[default: 400; music: 128; handwriting: 600]",
)
@click.option(
    "--temperature",
    type=float,
    help="Sampling temperature. Values below 1 sharpen the distribution; 0 selects the most probable symbol.  "
    "[default: 0.7; music: 0.9; handwriting: 1]",
)
@click.option("--top-k", type=int, help="Draw from the k most probable symbols.")
@click.option(
    "--top-p", type=float, help="Draw from the smallest set of the most probable symbols with this probability."
)
@click.option(
    "--min-p", type=float, help="Draw from the symbols with at least this fraction of the largest probability."
)
@click.option(
    "--repetition-penalty", type=float, help="Above 1, symbols of the prompt and of the text become less probable."
)
@click.option("--stop", multiple=True, metavar="TEXT", help="End before this text; may be repeated.")
@click.option("--num-samples", type=int, help="Number of continuations, which are printed at the end.  [default: 1]")
@click.option(
    "--notes", type=int, help="For music, a fixed number of notes per frame.  [default: each note is sampled]"
)
@click.option(
    "--seed",
    type=int,
    help="Random seed for sampling and, for music, for the choice of the test piece.  [default: random; first piece]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="For music, the MIDI file to write; for handwriting, the picture: .png, .svg, or .pdf.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Data file of a music model whose data are not included in the package.",
)
@SKIP_UNKNOWN_OPTION
def generate(model: str, **options: Any) -> None:
    """Generate text, music, or handwriting with a trained model.

    MODEL is the name of a zoo model with trained weights, a .keras file, a file of a program, or the output directory
    of a run. A language model continues --prompt and prints the text while it is generated. A music model continues the
    opening of a test piece and writes a MIDI file. A model of pen strokes draws a picture.
    """
    from rich.console import Console

    passed = {
        name: value for name, value in options.items() if value is not None and value is not False and value != ()
    }
    try:
        _generate(model, passed, Console(stderr=True))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _generate(model: str, options: dict[str, Any], console: Console) -> None:
    stored = load_program(model)
    if stored is not None:
        stored.family.generate(stored.program, stored.config, options, console)
        return
    loaded = load(model, console)
    loaded.family.generate(loaded.model, loaded.config, options, console)
