"""The command `deeprnn train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deeprnn_keras.cli.model_argument import TEST_OPTION, VALID_OPTION, data_option, recording_options
from deeprnn_keras.cli.output_directory import unused_directory
from deeprnn_keras.cli.processes import end_at_once_if_failed, join_run, start_processes
from deeprnn_keras.cli.resume_options import TrainOptions, stored_options
from deeprnn_keras.data.data_files import DataFiles
from deeprnn_keras.processes import is_first

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras.zoo import Configuration


def _integers(ctx: click.Context, param: click.Parameter, value: str | None) -> int | tuple[int, ...] | None:
    """Convert '256' to 256 and '512,256' to (512, 256)."""
    if value is None:
        return None
    try:
        integers = tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"must be an integer or comma-separated integers, got {value!r}") from None
    return integers[0] if len(integers) == 1 else integers


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> str | tuple[str, ...] | None:
    """Keep 'lstm' and convert 'rnn,lstm' to ('rnn', 'lstm')."""
    return tuple(value.split(",")) if value and "," in value else value


@click.command()
@click.argument("name")
@data_option(
    "Training data. For language models, a UTF-8 text file; without --valid, it is divided into ten equal "
    "segments, and the last tenth of each is held out for validation. For other models, the file that the model's card "
    "(deeprnn info) names."
)
@VALID_OPTION
@TEST_OPTION
@recording_options
@click.option("--quick", is_flag=True, help="Shorten training to about 2 minutes on 2 cores, for a first impression.")
@click.option("--epochs", type=int, help="Number of epochs.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Output directory; must not exist, except with --resume.  [default: runs/NAME, numbered if taken]",
)
@click.option("--layers", "num_layers", type=int, help="Number of recurrent layers, L.")
@click.option("--units", callback=_integers, help="Hidden units, h; comma-separated for one value per layer: 512,256.")
@click.option(
    "--cell",
    callback=_names,
    help="Cell: rnn, gru, lstm, rhn, mlp_gate_lstm, ...; comma-separated for one cell per layer: gru,lstm.",
)
@click.option("--dropout", type=float, help="Dropout rate between layers.")
@click.option("--learning-rate", type=float, help="Base learning rate.")
@click.option("--clipnorm", "global_clipnorm", type=float, help="Global norm to clip gradients to.")
@click.option("--batch-size", type=int, help="Windows or series per update, n.")
@click.option("--bptt", type=int, help="Time steps per window, T.")
@click.option(
    "--stateful/--windows",
    "stateful",
    default=None,
    help="Carry states from batch to batch (--stateful), or start each window from zero states (--windows).",
)
@click.option(
    "--seed", type=int, help="Random seed for initialization, shuffling, dropout, and sampling.  [default: 0]"
)
@click.option(
    "--resume",
    is_flag=True,
    help="Resume the unfinished run in --output; without --output, the most recent one of NAME in ./runs.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="INTEGER",
    help="Number of processes that share every batch, on the JAX backend (KERAS_BACKEND=jax). They are started on this "
    "machine, or are those of srun, mpirun, or a Kubernetes Indexed Job that run this command.  [default: 1]",
)
@click.option(
    "--publish",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Also save the weights for the zoo in DIRECTORY: NAME.safetensors, and NAME.json, which records the training.",
)
def train(
    name: str,
    data: Path | None,
    valid: Path | None,
    test: Path | None,
    dry: Path | None,
    wet: Path | None,
    channel: int | None,
    quick: bool,
    output: Path | None,
    seed: int | None,
    resume: bool,
    processes: int | None,
    publish: Path | None,
    **overrides: Any,
) -> None:
    """Train zoo model NAME and report its score.

    Options of the model and its recipe default to the values of NAME. Ctrl-C stops the run and saves the current model.
    --resume continues an interrupted run with its original options; the result is identical to that of an uninterrupted
    run.
    """
    from rich.console import Console

    overrides = {key: value for key, value in overrides.items() if value is not None}
    if publish and (quick or overrides):
        raise ValueError(
            f"--publish requires an unmodified run of {name}; leave out --quick and all options that change the model "
            "or its recipe"
        )
    options = TrainOptions(output, DataFiles(data, valid, test, dry, wet, channel), quick, seed, overrides)
    if resume:
        options = stored_options(name, options)
    console = Console()
    with end_at_once_if_failed():
        code, directory = _run(name, options, resume, processes, console)
    if publish and code == 0 and is_first():
        _publish(name, directory, publish, console)
    sys.exit(code)


def _run(name: str, options: TrainOptions, resume: bool, processes: int | None, console: Console) -> tuple[int, Path]:
    """Check the options, train the model, and print a report; return the exit code and the directory of the run."""
    from deeprnn_keras import zoo
    from deeprnn_keras.cli.run_report import exit_code, print_end, print_start
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow

    overrides, quick, seed = options.configuration_overrides(), options.quick, options.seed or 0
    if quick and "epochs" in overrides:
        raise ValueError("--quick determines the number of epochs and does not support --epochs; leave out one of them")
    config = zoo.info(name)
    family = config.family
    family.check_options(
        config,
        {
            "quick": quick or None,
            "processes": processes,
            **options.files.official(),
            **options.files.recordings(),
            **overrides,
        },
    )
    _check_size(zoo.info(name, **overrides))  # reports invalid overrides before any slow operation
    directory = _run_directory(name, options.directory, resume)
    start_processes(processes)
    data = family.load_files(config, options.files)
    config = family.configure(zoo.info(name, **overrides), data)

    start_tensorflow(console)
    join_run(processes, console)
    import keras

    keras.utils.set_random_seed(seed)
    model = config.build()
    print_start(config, model, data, directory if resume else None, console)
    run = family.train(
        model,
        data,
        config.recipe,
        directory,
        quick=quick,
        seed=seed,
        title=f"{name}: {config.architecture()}, {model.count_params():,} parameters, on {data.name}",
        console=console,
        resume=resume,
        settings=options.settings(name),
    )
    return (print_end(family, run, model, console) if is_first() else exit_code(run)), directory


def _check_size(config: Configuration) -> None:
    """Raise a ValueError if an option is out of range, or if the model is larger than the memory limit."""
    from deeprnn_keras import limits

    what = f"{config.name} with units={config.units} and num_layers={config.num_layers}"
    limits.check_memory(what, config.count_params())


def _run_directory(name: str, output: Path | None, resume: bool) -> Path:
    from deeprnn_keras import checks

    if output is None:
        return unused_directory(Path("runs") / name)
    return output if resume else checks.new_directory("--output", output)


def _publish(name: str, directory: Path, destination: Path, console: Console) -> None:
    from rich.markup import escape

    from deeprnn_keras.zoo.publish import publish

    published = publish(directory, destination)
    path = escape(str(destination / name))
    console.print(f"[bold]weights[/]: {path}.safetensors, SHA-256 {published.sha256[:12]}...")
