"""The command `deeprnn bench`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from deeprnn_keras.cli.output_directory import unused_directory

if TYPE_CHECKING:
    from deeprnn_keras.bench.settings import Settings

QUICK_ROUNDS, QUICK_SECONDS = 3, 0.3

Command = TypeVar("Command", bound=Callable[..., Any])


def _split_commas(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Convert ('a,b', 'c') to ('a', 'b', 'c')."""
    return tuple(part for value in values for part in value.split(","))


def _list_option(flag: str, target: str, metavar: str, description: str) -> Callable[[Command], Command]:
    """Return an option that accepts comma-separated values and may be repeated."""
    return click.option(flag, target, multiple=True, callback=_split_commas, metavar=metavar, help=description)


@click.group()
def bench() -> None:
    """Run benchmarks on this machine."""


@bench.command()
@_list_option(
    "--sizes", "sizes", "LxhxnxT", "Layers L, units h, batch size n, and time steps T, for example 2x256x32x35."
)
@_list_option("--cell", "cells", "CELL", "lstm, gru, or rnn.")
@_list_option("--mode", "modes", "MODE", "train or infer.")
@_list_option("--impl", "implementations", "NAME", "keras, torch, drop-ins, DeepRNN, or 'DeepRNN remat'.")
@click.option(
    "--rounds", type=int, help="Rounds per case; each round measures every implementation once.  [default: 5]"
)
@click.option(
    "--seconds",
    type=float,
    help="Duration of each measurement in seconds; at least 3 steps are run.  [default: 0.6]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed for weights and data.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Output directory; must not exist, except with --resume.  [default: runs/bench_kernels, numbered if taken]",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Finish in about 2 minutes: measure LSTMs of 3 sizes only, and skip the memory measurement and the epochs.",
)
@click.option("--no-memory", is_flag=True, help="Skip the memory measurement.")
@click.option("--no-epoch", is_flag=True, help="Skip the measurement of training epochs on the King James Bible.")
@click.option(
    "--epoch-updates", type=int, default=300, show_default=True, help="Maximum number of updates measured per epoch."
)
@click.option("--resume", is_flag=True, help="Resume the interrupted measurement in --output.")
def kernels(seed: int, output: Path | None, resume: bool, **choices: Any) -> None:
    """Compare Keras, PyTorch, and deeprnn-keras layers on the CPU.

    --sizes, --cell, --mode, and --impl accept comma-separated values. By default, a standard grid of sizes, cells, and
    modes is measured for four implementations: keras (keras.layers), torch (torch.nn), drop-ins (the layers LSTM, GRU,
    and SimpleRNN of deeprnn-keras), and DeepRNN. Ctrl-C stops the measurement and saves the results obtained so far.
    """
    from rich.console import Console

    from deeprnn_keras.bench.environment import load_notes, worker_environment
    from deeprnn_keras.bench.progress import ProgressBar
    from deeprnn_keras.bench.report import print_report, write_report
    from deeprnn_keras.bench.results import load_results, new_results, resume_results, run_metadata
    from deeprnn_keras.bench.run import estimate_seconds, run
    from deeprnn_keras.cli.exit_codes import INTERRUPTED

    console = Console()
    settings, notes = _settings(seed=seed, **choices)
    notes += load_notes()
    directory = _output_directory(output, resume)
    for note in notes:
        console.print(note, highlight=False, markup=False)
    with console.status("starting TensorFlow"):
        about = run_metadata(settings, worker_environment())
    existing = load_results(directory) if resume else None
    results = resume_results(existing, about) if existing else new_results(about)
    results["notes"] = list(dict.fromkeys([*results["notes"], *notes]))
    interrupted = False
    try:
        with ProgressBar(console, estimate_seconds(settings)).shown() as progress_bar:
            run(settings, results, directory, progress_bar)
    except KeyboardInterrupt:
        interrupted = True
    has_results = results["cases"] or results["memory"] or results["epoch"]
    if has_results:
        paths = write_report(results, directory)
        print_report(results, console)
        console.print(*[str(path) for path in paths], sep="\n", highlight=False, markup=False, soft_wrap=True)
    if interrupted:
        message = "Interrupted before the first measurement was completed."
        if has_results:
            message = f"Interrupted. To continue, repeat the command with --resume --output {directory}"
        console.print(message, style="yellow", markup=False, soft_wrap=True)
        sys.exit(INTERRUPTED)


def _settings(
    sizes: tuple[str, ...],
    cells: tuple[str, ...],
    modes: tuple[str, ...],
    implementations: tuple[str, ...],
    rounds: int | None,
    seconds: float | None,
    quick: bool,
    no_memory: bool,
    no_epoch: bool,
    epoch_updates: int,
    seed: int,
) -> tuple[Settings, list[str]]:
    """Return the `Settings`, and a note for each implementation whose package is not installed."""
    from deeprnn_keras import zoo
    from deeprnn_keras.bench.case import CELLS, MODES, QUICK_SIZES, SIZES, grid
    from deeprnn_keras.bench.epoch import epoch_config
    from deeprnn_keras.bench.implementations import COMPARED, missing_packages
    from deeprnn_keras.bench.settings import LONG_SEQUENCES, Settings

    durations = {"rounds": QUICK_ROUNDS, "seconds": QUICK_SECONDS} if quick else {}
    durations |= {key: value for key, value in (("rounds", rounds), ("seconds", seconds)) if value is not None}
    all_sizes, all_cells = (QUICK_SIZES, ("lstm",)) if quick else (SIZES, CELLS)
    settings = Settings(
        cases=tuple(grid(sizes or all_sizes, cells or all_cells, modes or MODES)),
        implementations=tuple(dict.fromkeys(implementations)) or COMPARED,
        memory=None if no_memory or quick else LONG_SEQUENCES,
        epoch=None if no_epoch or quick else epoch_config(zoo.info("kjv_lstm_2x256")),
        epoch_updates=epoch_updates,
        seed=seed,
        **durations,
    )
    not_installed = missing_packages(settings.implementations)
    return settings.without(not_installed), [f"{name} is skipped: {reason}" for name, reason in not_installed.items()]


def _output_directory(output: Path | None, resume: bool) -> Path:
    from deeprnn_keras import checks
    from deeprnn_keras.bench.results import FILE

    if resume:
        if output is None or not (output / FILE).is_file():
            raise ValueError(f"--resume requires an --output directory that holds {FILE}, got --output {output}")
        return output
    if output is not None:
        return checks.new_directory("--output", output)
    return unused_directory(Path("runs") / "bench_kernels")
