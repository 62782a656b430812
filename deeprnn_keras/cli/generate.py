"""`deeprnn generate`."""

from pathlib import Path

import click

from deeprnn_keras.cli.loaded import MODEL, SKIP, load

OPENING = 8  # frames of a held-out piece that music begins with
LENGTHS = {"text": 400, "music": 128}
TEMPERATURES = {"text": 0.7, "music": 0.9}


@click.command()
@MODEL
@click.option("--prompt", help="What the text begins with.")
@click.option("--length", type=int, help="Characters to add, 400 if not given; or frames of music, 128.")
@click.option("--temperature", type=float, help="Below 1: the likely gets likelier. Text 0.7, music 0.9 if not given.")
@click.option("--notes", type=int, help="Notes that sound in each frame of music; if not given, as many as are drawn.")
@click.option("--seed", type=int, help="For the same each time.")
@click.option("--output", type=click.Path(path_type=Path), help="The MIDI file for music.")
@click.option("--data", type=click.Path(path_type=Path), help="The data of a model of music that comes without.")
@SKIP
def generate(model, prompt, length, temperature, notes, seed, output, data, skip_unknown):
    """Continues --prompt with MODEL: a name of the zoo that has trained weights, a .keras file, a training's folder.

    A model of music continues the opening of a piece that was held out, which --seed chooses, and writes a MIDI file.
    """
    from rich.console import Console

    console = Console(stderr=True)
    loaded = load(model, console)
    from deeprnn_keras.models import SequenceModel  # after `load`, which keeps TensorFlow quiet

    kind = "music" if isinstance(loaded, SequenceModel) else "text"
    options = {"seed": seed, "temperature": TEMPERATURES[kind] if temperature is None else temperature}
    length = LENGTHS[kind] if length is None else length
    if kind == "music":
        _music(loaded, prompt, length, output, data, console, notes=notes, **options)
        return
    if prompt is None or output is not None or notes is not None:
        raise ValueError("text begins with --prompt TEXT and goes to the screen, without --output and --notes")
    unknown = "skip" if skip_unknown else "error"
    click.echo(loaded.generate(prompt, length, unknown=unknown, **options))


def _music(model, prompt, length, output, data, console, *, seed, **options):
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
        roll = model.generate(start, length, seed=seed, **options)
    write_midi(roll, output)
    console.print(f"{len(roll)} frames in {output}", soft_wrap=True, highlight=False)
