"""`deeprnn list` and `deeprnn info`."""

import click


@click.command("list")
@click.argument("pattern", default="*")
@click.option("--task", help="Only models of this task.")
def list_command(pattern, task):
    """The models of the zoo, or those that match PATTERN, such as "*lstm*"."""
    from rich.console import Console
    from rich.table import Table

    from deeprnn_keras import zoo

    names = zoo.list_models(pattern, task=task)
    if not names:
        raise ValueError(f"no model matches {pattern!r}; deeprnn list shows all")
    table = Table("name", "what it is", "cell", box=None, header_style="bold", pad_edge=False)
    for heading in ("L", "h", "V", "weights"):
        table.add_column(heading, justify="right")
    for name in names:
        model = zoo.info(name)
        sizes = (model.num_layers, model.units, model.vocabulary_size, zoo.count_params(name))
        table.add_row(name, model.title, model.cell, *(f"{size:,}" for size in sizes))
    Console().print(table)


@click.command()
@click.argument("name")
def info(name):
    """The card of the model NAME: architecture, recipe, paper, what differs from it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from deeprnn_keras import zoo

    model = zoo.info(name)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, value in model.card():
        table.add_row(what, escape(value))
    console = Console()
    console.print(f"[bold]{name}[/]: {model.title}")
    console.print(table)
