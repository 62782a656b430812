"""`deeprnn evaluate` and `deeprnn generate`."""

from pathlib import Path

import click

MODEL = click.argument("model", type=click.Path(path_type=Path))
SKIP = click.option("--skip-unknown", is_flag=True, help="Leave out characters that the model does not know.")


def _load(path, console):
    from deeprnn_keras import checks
    from deeprnn_keras.cli.quiet import load_tensorflow

    checks.model_file("model", path)  # before TensorFlow, which takes seconds
    load_tensorflow(console)
    from deeprnn_keras.models import load_language_model

    return load_language_model(path)


@click.command()
@MODEL
@click.option(
    "--text",
    type=click.Path(path_type=Path),
    help="A UTF-8 text file. Default: the held-out part of the King James Bible.",
)
@SKIP
def evaluate(model, text, skip_unknown):
    """Scores MODEL, a .keras file or a training's folder, on a text."""
    from rich.console import Console

    from deeprnn_keras import TextCorpus, king_james
    from deeprnn_keras.cli.report import score_table
    from deeprnn_keras.training.compressors import compressed_bits

    console = Console()
    pieces = [TextCorpus.from_file(text).text] if text else king_james().split().validation
    name = text.name if text else "King James Bible, held-out part"
    loaded = _load(model, console)
    if skip_unknown:
        vocabulary = loaded.characters()
        pieces = [vocabulary.decode(vocabulary.encode(piece, "skip")) for piece in pieces]
    with console.status("scoring"):
        score = loaded.score(pieces)
    console.print(score_table(score, compressed_bits("".join(pieces)), loaded.name, name))


@click.command()
@MODEL
@click.option("--prompt", required=True, help="What the text begins with.")
@click.option("--length", type=int, default=400, show_default=True, help="Characters to add.")
@click.option("--temperature", type=float, default=0.7, show_default=True, help="Below 1: the likely gets likelier.")
@click.option("--seed", type=int, help="For the same text each time.")
@SKIP
def generate(model, prompt, length, temperature, seed, skip_unknown):
    """Continues --prompt with MODEL, a .keras file or a training's folder."""
    from rich.console import Console

    loaded = _load(model, Console(stderr=True))
    unknown = "skip" if skip_unknown else "error"
    click.echo(loaded.generate(prompt, length, temperature=temperature, seed=seed, unknown=unknown))
