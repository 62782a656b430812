"""The commands `deeprnn list` and `deeprnn info`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from deeprnn_keras.cli.build_report import print_build
from deeprnn_keras.cli.model_argument import is_zoo_name
from deeprnn_keras.cli.option_types import ParameterCount

if TYPE_CHECKING:
    import keras
    from rich.console import Console
    from rich.table import Table

    from deeprnn_keras.zoo import Configuration

ALL_COLUMNS_WIDTH = 110  # minimum width of the terminal, in characters, for the table with all columns
NAME_WIDTH, CELL_WIDTH, SIZE_WIDTH = 22, 11, 10  # of columns in narrower terminals, in characters


@click.command("list")
@click.argument("pattern", default="*")
@click.option("--task", help="Only models of this task family, for example language.")
@click.option("--cell", help="Only models with this cell, for example gru.")
@click.option("--layers", type=int, help="Only models with this number of layers.")
@click.option("--max-params", type=ParameterCount(), help="Maximum number of parameters, for example 500k.")
@click.option("--pretrained", is_flag=True, help="Only models with trained weights.")
def list_command(
    pattern: str, task: str | None, cell: str | None, layers: int | None, max_params: int | None, pretrained: bool
) -> None:
    """List the models of the zoo.

    PATTERN selects models by name; * and ? are wildcards: "*lstm*".
    """
    from rich.console import Console

    from deeprnn_keras import zoo

    configs = [zoo.info(name) for name in zoo.list_models(pattern, task=task, pretrained=pretrained or None)]
    configs = [
        config
        for config in configs
        if (cell is None or cell in config.cell_name().split("-"))
        and (layers is None or config.num_layers == layers)
        and (max_params is None or config.count_params() <= max_params)
    ]
    if not configs:
        raise ValueError(f"no model matches {pattern!r} and the options; run deeprnn list to see all models")
    console = Console()
    console.print(_model_table(configs, console.width >= ALL_COLUMNS_WIDTH))
    if any(config.weights for config in configs):
        console.print("* has trained weights: zoo.create_model(name, pretrained=True)", style="dim")


def _model_table(configs: list[Configuration], all_columns: bool) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2 if all_columns else 1, 0, 0))
    table.add_column("name", no_wrap=True)
    table.add_column("description", min_width=14)
    table.add_column("cell", no_wrap=True)
    table.add_column("L x h", justify="right", no_wrap=True)
    if all_columns:
        table.add_column("input", justify="right", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    for config in configs:
        units = str(config.units) if isinstance(config.units, int) else "-".join(map(str, config.units))
        name = f"{config.name}{' *' if config.weights else ''}"
        cell, size = config.cell_name(), f"{config.num_layers} x {units}"
        if not all_columns:
            name, cell = _fold(name, NAME_WIDTH), _fold(cell, CELL_WIDTH)
            size = size if len(size) <= SIZE_WIDTH else f"{config.num_layers} x\n{_fold(units, SIZE_WIDTH)}"
        table.add_row(
            name,
            config.title,
            cell,
            size,
            *([config.input_description()] if all_columns else []),
            f"{config.count_params():,}",
        )
    return table


def _fold(text: str, width: int) -> str:
    """Break a text into lines at "-" and "_" only, so that no number and no word is cut."""
    lines = [""]
    for part in re.findall(r"[^-_]+[-_]?", text):
        if len(lines[-1]) + len(part) > width and lines[-1]:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


@click.command()
@click.argument("model", required=False)
@click.option("--kernels", is_flag=True, help="Also show which implementation runs each recurrent layer, and why.")
@click.option(
    "--build",
    is_flag=True,
    help="Show the build of the native library and which implementations run on this machine; without MODEL.",
)
def info(model: str | None, kernels: bool, build: bool) -> None:
    """Show the card of a zoo model.

    The card of MODEL states its architecture, recipe, source, and the differences from the source. With --kernels,
    MODEL may also be a .keras file or the output directory of a run. To pass a directory that has the name of a zoo
    model, write ./NAME.
    """
    from rich.console import Console

    console = Console()
    if build:
        if model is not None or kernels:
            raise click.UsageError("--build describes the installation; omit MODEL and --kernels")
        return print_build(console)
    if model is None:
        raise click.UsageError("Missing argument 'MODEL'; pass a model (deeprnn list) or --build")
    return _print_model(model, kernels, console)


def _print_model(model: str, kernels: bool, console: Console) -> None:
    if not is_zoo_name(model):
        keras_model = _load_model(model, kernels, console)
    else:
        _print_card(model, console)
        keras_model = _create_model(model, console) if kernels else None
    if kernels:
        from deeprnn_keras import explain_kernels

        click.echo(f"\n{explain_kernels(keras_model).text(min(console.width, 100))}")


def _print_card(name: str, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    from deeprnn_keras import zoo

    config = zoo.info(name)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in config.card():
        table.add_row(label, escape(value))
    console.print(f"[bold]{name}[/]: {config.title}\n")
    click.echo(f"{config.diagram()}\n")
    console.print(table)


def _create_model(name: str, console: Console) -> keras.Model:
    from deeprnn_keras import zoo
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow

    start_tensorflow(console)
    with console.status(f"building {name}"):
        return zoo.create_model(name)


def _load_model(path: str, kernels: bool, console: Console) -> keras.Model:
    """Load a model from a .keras file or the directory of a run.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If `kernels` is False, or the file is not a model or contains an unknown class.
    """
    from rich.markup import escape

    from deeprnn_keras.cli.model_argument import load_file
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow
    from deeprnn_keras.model_file import model_file

    file = model_file("model", path)
    if not kernels:
        raise ValueError(
            f"model {path!r} is a file, and only zoo models (deeprnn list) have a card; pass --kernels to show the "
            "implementations of its layers"
        )
    start_tensorflow(console)
    with console.status(f"loading {file.name}"):
        model = load_file(file, compile=False)
    console.print(f"[bold]{escape(model.name)}[/]: {model.count_params():,} parameters")
    return model
