"""`deeprnn` and its commands."""

from __future__ import annotations

from typing import Any

import click

from deeprnn_keras.cli.bench import bench
from deeprnn_keras.cli.evaluate import evaluate
from deeprnn_keras.cli.generate import generate
from deeprnn_keras.cli.train import train
from deeprnn_keras.cli.tune import tune
from deeprnn_keras.cli.zoo import info, list_command


class Commands(click.Group):
    """Group of commands that reports ValueErrors, OSErrors, and missing extras as messages, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (ValueError, OSError, ImportError) as error:
            if ctx.params["debug"]:
                raise
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="deeprnn-keras")
def main(debug: bool) -> None:
    """Deep recurrent networks in Keras: browse the zoo, train, tune, evaluate, generate."""


for command in (list_command, info, train, tune, evaluate, generate, bench):
    main.add_command(command)
