"""`deeprnn list` and `deeprnn info`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from deeprnn_keras.cli.model_argument import names_an_entry
from deeprnn_keras.cli.option_types import Amount

if TYPE_CHECKING:
    import keras
    from rich.console import Console

WIDE = 110  # characters of a terminal, for all columns


@click.command("list")
@click.argument("pattern", default="*")
@click.option("--task", help="Only models of this task family, such as language.")
@click.option("--cell", help="Only models with this cell, such as gru.")
@click.option("--layers", type=int, help="Only models with this number of layers.")
@click.option("--max-weights", type=Amount(), help="Only models with at most this number of weights, such as 500k.")
@click.option("--pretrained", is_flag=True, help="Only models with trained weights.")
def list_command(
    pattern: str, task: str | None, cell: str | None, layers: int | None, max_weights: int | None, pretrained: bool
) -> None:
    """List the models of the zoo, or those that match PATTERN, such as "*lstm*"."""
    from rich.console import Console
    from rich.table import Table

    from deeprnn_keras import zoo

    found = [zoo.info(name) for name in zoo.list_models(pattern, task=task, pretrained=pretrained or None)]
    found = [
        model
        for model in found
        if (cell is None or cell in model.cell_name().split("-"))
        and (layers is None or model.num_layers == layers)
        and (max_weights is None or model.count_params() <= max_weights)
    ]
    if not found:
        raise ValueError(f"no model matches {pattern!r} and the options; deeprnn list shows all models")
    console = Console()
    wide = console.width >= WIDE
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("name", no_wrap=True)
    table.add_column("what it is", min_width=19)
    table.add_column("cell", overflow="fold", max_width=None if wide else 9)
    for heading in ("L x h", *(["input"] if wide else []), "weights"):
        table.add_column(heading, justify="right", no_wrap=True)
    for model in found:
        sizes = (
            f"{model.num_layers} x {model.units}",
            *([model.input_description()] if wide else []),
            f"{model.count_params():,}",
        )
        star = " *" if model.weights else ""
        table.add_row(f"{model.name}{star}", model.title, model.cell_name(), *sizes)
    console.print(table)
    if any(model.weights for model in found):
        console.print("* has trained weights: zoo.create_model(name, pretrained=True)", style="dim")


@click.command()
@click.argument("model")
@click.option("--kernels", is_flag=True, help="Also explain which implementation runs each recurrent layer.")
def info(model: str, kernels: bool) -> None:
    """Show the card of MODEL, a model of the zoo: architecture, recipe, paper, and what differs from it.

    With --kernels, MODEL may also be a .keras file or the directory of a run. A name of the zoo comes first: write
    ./NAME for a directory that is called like a model.
    """
    from rich.console import Console

    console = Console()
    if not names_an_entry(model):
        built = _loaded(model, kernels, console)
    else:
        _print_card(model, console)
        built = _created(model, console) if kernels else None
    if kernels:
        from deeprnn_keras import explain_kernels

        click.echo(f"\n{explain_kernels(built).text(min(console.width, 100))}")


def _print_card(name: str, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    from deeprnn_keras import zoo

    model = zoo.info(name)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, value in model.card():
        table.add_row(what, escape(value))
    console.print(f"[bold]{name}[/]: {model.title}\n")
    click.echo(f"{model.diagram()}\n")
    console.print(table)


def _created(name: str, console: Console) -> keras.Model:
    from deeprnn_keras import zoo
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow

    start_tensorflow(console)
    with console.status(f"building {name}"):
        return zoo.create_model(name)


def _loaded(path: str, kernels: bool, console: Console) -> keras.Model:
    from rich.markup import escape

    from deeprnn_keras import checks
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow

    file = checks.model_file("model", path)
    if not kernels:  # only the zoo has cards
        raise ValueError(
            f"model {path!r} has no card, which models of the zoo have (deeprnn list); --kernels explains a file"
        )
    start_tensorflow(console)
    import keras

    from deeprnn_keras import models  # noqa: F401 - classes that Keras finds in the file
    from deeprnn_keras.tasks import families

    families()  # imports the classes of other packages

    try:
        with console.status(f"loading {file.name}"):
            built = keras.models.load_model(file, compile=False)
    except TypeError as error:  # Keras' message is the whole configuration
        unknown = re.search(r"Could not locate (\w+ '[^']+')", str(error))
        why = f"{unknown[1]} is not known here" if unknown else str(error)
        raise ValueError(f"model {path!r} cannot be loaded: {why}") from error
    console.print(f"[bold]{escape(built.name)}[/]: {built.count_params():,} weights")
    return built
