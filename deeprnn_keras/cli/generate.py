"""`deeprnn generate`."""

import click

from deeprnn_keras.cli.loaded import MODEL, SKIP, load


@click.command()
@MODEL
@click.option("--prompt", required=True, help="What the text begins with.")
@click.option("--length", type=int, default=400, show_default=True, help="Characters to add.")
@click.option("--temperature", type=float, default=0.7, show_default=True, help="Below 1: the likely gets likelier.")
@click.option("--seed", type=int, help="For the same text each time.")
@SKIP
def generate(model, prompt, length, temperature, seed, skip_unknown):
    """Continues --prompt with MODEL: a name of the zoo that has trained weights, a .keras file, a training's folder."""
    from rich.console import Console

    loaded = load(model, Console(stderr=True))
    unknown = "skip" if skip_unknown else "error"
    click.echo(loaded.generate(prompt, length, temperature=temperature, seed=seed, unknown=unknown))
