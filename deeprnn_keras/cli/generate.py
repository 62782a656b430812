"""`deeprnn generate`."""

from pathlib import Path

import click

from deeprnn_keras.cli.loaded import MODEL, SKIP, load

OPENING = 8  # frames of a held-out piece that music begins with
LENGTHS = {"characters": 400, "frames": 128}


@click.command()
@MODEL
@click.option("--prompt", help="What the text begins with.")
@click.option("--length", type=int, help="Characters to add, 400 if not given; or frames of music, 128.")
@click.option("--temperature", type=float, default=0.7, show_default=True, help="Below 1: the likely gets likelier.")
@click.option("--seed", type=int, help="For the same each time.")
@click.option("--output", type=click.Path(path_type=Path), help="The MIDI file for music.")
@click.option("--data", type=click.Path(path_type=Path), help="The data of a model of music that comes without.")
@SKIP
def generate(model, prompt, length, temperature, seed, output, data, skip_unknown):
    """Continues --prompt with MODEL: a name of the zoo that has trained weights, a .keras file, a training's folder.

    A model of music continues the opening of a piece that was held out, which --seed chooses, and writes a MIDI file.
    """
    from rich.console import Console

    console = Console(stderr=True)
    loaded = load(model, console)
    from deeprnn_keras.models import SequenceModel  # after `load`, which keeps TensorFlow quiet

    options = {"temperature": temperature, "seed": seed}
    if isinstance(loaded, SequenceModel):
        _music(loaded, prompt, length or LENGTHS["frames"], output, data, console, **options)
        return
    if prompt is None or output is not None:
        raise ValueError("text begins with --prompt TEXT and goes to the screen, without --output")
    unknown = "skip" if skip_unknown else "error"
    click.echo(loaded.generate(prompt, length or LENGTHS["characters"], unknown=unknown, **options))


def _music(model, prompt, length, output, data, console, *, temperature, seed):
    from deeprnn_keras import write_midi, zoo
    from deeprnn_keras.cli.series import series_of

    if model.kind != "notes":
        raise ValueError(f"model {model.name!r} answers with {model.kind}; text and music are generated")
    if prompt is not None or output is None:
        raise ValueError(
            "music goes to a file, --output FILE.mid, and begins as a held-out piece does, without --prompt"
        )
    pieces = series_of(zoo.info(model.name), data).test.series
    start = pieces[(seed or 0) % len(pieces)][:OPENING]
    with console.status("composing"):
        roll = model.generate(start, length, temperature=temperature, seed=seed)
    write_midi(roll, output)
    console.print(f"{len(roll)} frames in {output}", soft_wrap=True, highlight=False)
