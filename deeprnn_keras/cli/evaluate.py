"""`deeprnn evaluate`."""

from pathlib import Path

import click

from deeprnn_keras.cli.loaded import MODEL, SKIP, load


@click.command()
@MODEL
@click.option(
    "--text",
    "--data",
    "data",
    type=click.Path(path_type=Path),
    help="A UTF-8 text file, by default the held-out part of the King James Bible; or the data of a model of series, "
    "by default what comes with it.",
)
@SKIP
@click.option("--record", is_flag=True, help="Write the figures, and milliseconds, into the zoo's results.csv.")
def evaluate(model, data, skip_unknown, record):
    """Scores MODEL: a name of the zoo that has trained weights, a .keras file, or a training's folder."""
    from rich.console import Console

    console = Console()
    loaded = load(model, console)
    from deeprnn_keras.models import SequenceModel  # after `load`, which keeps TensorFlow quiet

    if record:
        from deeprnn_keras.cli.recorded import record_figures

        if skip_unknown:
            raise ValueError("--record counts every character; leave out --skip-unknown")
        record_figures(model, loaded, data, console)
    elif isinstance(loaded, SequenceModel):
        _series(loaded, data, console)
    else:
        _text(loaded, data, skip_unknown, console)


def _series(model, data, console):
    from deeprnn_keras import zoo
    from deeprnn_keras.cli.report import print_score
    from deeprnn_keras.cli.series import series_of
    from deeprnn_keras.training.series_run import score_series

    split = series_of(zoo.info(model.name), data)
    console.print(f"[bold]{model.name}[/] on {split.name}, test")
    print_score(score_series(model, split.test), console)


def _text(model, data, skip_unknown, console):
    from deeprnn_keras import TextCorpus, king_james
    from deeprnn_keras.cli.report import score_table
    from deeprnn_keras.training.compressors import compressed_bits

    pieces = [TextCorpus.from_file(data).text] if data else king_james().split().validation
    name = data.name if data else "King James Bible, held-out part"
    if skip_unknown:
        vocabulary = model.known()
        pieces = [vocabulary.decode(vocabulary.encode(piece, "skip")) for piece in pieces]
    with console.status("scoring"):
        score = model.score(pieces)
    unit = model.known().unit
    console.print(score_table(score, compressed_bits("".join(pieces), unit), model.name, name, unit))
