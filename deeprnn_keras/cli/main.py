"""The command `deeprnn` and its subcommands."""

from __future__ import annotations

import click
from typing_extensions import override

from deeprnn_keras.cli.bench import bench
from deeprnn_keras.cli.evaluate import evaluate
from deeprnn_keras.cli.export import export
from deeprnn_keras.cli.forecast import forecast
from deeprnn_keras.cli.generate import generate
from deeprnn_keras.cli.import_model import import_model
from deeprnn_keras.cli.train import train
from deeprnn_keras.cli.tune import tune
from deeprnn_keras.cli.tune_worker import tune_worker
from deeprnn_keras.cli.zoo import info, list_command
from deeprnn_keras.terminal import replace_unprintable


class Commands(click.Group):
    """Command group that reports a ValueError, OSError, or ImportError by its message, without a traceback.

    Characters that the terminal cannot show are printed as question marks.
    """

    @override
    def invoke(self, ctx: click.Context) -> object:
        replace_unprintable()
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of the output has ended, for example `head`; click exits silently
            raise
        except (ValueError, OSError, ImportError) as error:
            if ctx.params["debug"]:
                raise
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback if an error occurs.")
@click.version_option(package_name="deeprnn-keras")
def main(debug: bool) -> None:
    """Train, tune, evaluate, export, and sample from deep recurrent networks in Keras."""


for command in (
    list_command,
    info,
    train,
    tune,
    tune_worker,
    evaluate,
    forecast,
    generate,
    export,
    import_model,
    bench,
):
    main.add_command(command)
