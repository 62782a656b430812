"""`deeprnn` and its commands."""

import click

from deeprnn_keras.cli.bench import bench
from deeprnn_keras.cli.evaluate import evaluate
from deeprnn_keras.cli.generate import generate
from deeprnn_keras.cli.train import train
from deeprnn_keras.cli.tune import tune
from deeprnn_keras.cli.zoo import info, list_command


class Commands(click.Group):
    """A group whose commands' ValueErrors, OSErrors and missing extras are answers to the user, not tracebacks."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except (ValueError, OSError, ImportError) as error:
            if ctx.params["debug"]:
                raise
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the whole traceback of an error.")
@click.version_option(package_name="deeprnn-keras")
def main(debug):
    """Deep recurrent networks in Keras: look through the zoo, train, tune, evaluate, generate."""


for command in (list_command, info, train, tune, evaluate, generate, bench):
    main.add_command(command)
