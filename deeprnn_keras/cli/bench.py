"""`deeprnn bench`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras.bench.results import Results
    from deeprnn_keras.bench.settings import Settings

QUICK = {"rounds": 3, "seconds": 0.3}
Command = TypeVar("Command", bound=Callable[..., object])


def _split(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    """Return the parts of comma-separated values: ("a,b", "c") -> ("a", "b", "c")."""
    return tuple(part for value in values for part in value.split(","))


def _list_option(flag: str, target: str, metavar: str, text: str) -> Callable[[Command], Command]:
    """Return an option with comma-separated values, which may also be repeated."""
    return click.option(flag, target, multiple=True, callback=_split, metavar=metavar, help=text)


@click.group()
def bench() -> None:
    """Run benchmarks on this machine."""


@bench.command()
@_list_option("--sizes", "sizes", "LxhxnxT", "Layers, units, batch size, and time steps, for example 2x256x32x35.")
@_list_option("--cell", "cells", "CELL", "lstm, gru, or rnn.")
@_list_option("--mode", "modes", "MODE", "train or infer.")
@_list_option("--impl", "implementations", "NAME", "keras, torch, drop-ins, DeepRNN, or 'DeepRNN remat'.")
@click.option("--rounds", type=int, help="Rounds per case.  [default: 5]")
@click.option(
    "--seconds",
    type=float,
    help="Approximate seconds of an implementation in a round, which has at least 3 steps.  [default: 0.6]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed of weights and data.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Output directory; must not exist.  [default: runs/bench_kernels, numbered if taken]",
)
@click.option("--quick", is_flag=True, help="Two-minute run for a first impression: LSTM, 3 sizes, grid only.")
@click.option("--no-memory", is_flag=True, help="Skip the measurement of training memory.")
@click.option("--no-epoch", is_flag=True, help="Skip the training epochs on the King James Bible.")
@click.option(
    "--epoch-updates", type=int, default=300, show_default=True, help="Maximum number of updates of an epoch."
)
@click.option("--resume", is_flag=True, help="Continue the run in --output.")
def kernels(seed: int, output: Path | None, resume: bool, **options: Any) -> None:
    """Compare recurrent layers of Keras, DeepRNN, and PyTorch on the CPU of this machine.

    --sizes, --cell, --mode, and --impl accept several comma-separated values; by default, all are measured. Ctrl-C
    stops the run and saves the measurements.
    """
    from rich.console import Console

    from deeprnn_keras.bench.environment import load_notes, worker_environment
    from deeprnn_keras.bench.progress import ProgressBar
    from deeprnn_keras.bench.results import run_metadata
    from deeprnn_keras.bench.run import estimate_seconds, run
    from deeprnn_keras.cli.exit_codes import INTERRUPTED

    console = Console()
    settings, notes = _settings(seed=seed, **options)
    notes += load_notes()
    directory = _directory(output, resume)
    for note in notes:
        console.print(note, highlight=False, markup=False)
    with console.status("Starting TensorFlow"):
        about = run_metadata(settings, worker_environment())
    results = _initial_results(directory, about, resume)
    results["notes"] = list(dict.fromkeys([*results["notes"], *notes]))
    interrupted = False
    try:
        with ProgressBar(console, estimate_seconds(settings)).shown() as progress_bar:
            run(settings, results, directory, progress_bar)
    except KeyboardInterrupt:
        interrupted = True
    measured = bool(results["cases"] or results["memory"] or results["epoch"])
    if measured:
        _report(results, directory, console)
    if interrupted:
        advice = f"Interrupted. Continue with: --resume --output {directory}"
        message = advice if measured else "Interrupted before the first measurement."
        console.print(message, style="yellow", markup=False, soft_wrap=True)
        sys.exit(INTERRUPTED)


def _initial_results(directory: Path, about: dict[str, Any], resume: bool) -> Results:
    from deeprnn_keras.bench.results import load_results, new_results, resume_results

    existing = load_results(directory) if resume else None
    return new_results(about) if existing is None else resume_results(existing, about)


def _report(results: Results, directory: Path, console: Console) -> None:
    from deeprnn_keras.bench.report import print_report, write_report

    paths = write_report(results, directory)
    print_report(results, console)
    for path in paths:
        console.print(f"Saved to {path}", highlight=False, markup=False, soft_wrap=True)


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
    """Return the settings, without implementations that are not installed, and notes on the latter."""
    from deeprnn_keras import zoo
    from deeprnn_keras.bench.case import CELLS, MODES, QUICK_SIZES, SIZES, grid
    from deeprnn_keras.bench.epoch import epoch_config
    from deeprnn_keras.bench.implementations import COMPARED, missing_packages
    from deeprnn_keras.bench.settings import LONG_SEQUENCES, Settings

    durations: dict[str, Any] = dict(QUICK) if quick else {}
    durations |= {} if rounds is None else {"rounds": rounds}
    durations |= {} if seconds is None else {"seconds": seconds}
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
    missing = missing_packages(settings.implementations)
    return settings.without(missing), [f"{name} is skipped: {reason}" for name, reason in missing.items()]


def _directory(output: Path | None, resume: bool) -> Path:
    from deeprnn_keras import checks
    from deeprnn_keras.bench.results import FILE

    if resume:
        if output is None or not (output / FILE).is_file():
            raise ValueError(f"--resume requires --output with a directory that contains {FILE}, got --output {output}")
        return output
    if output is not None:
        return checks.new_directory("--output", output)
    default, number = Path("runs") / "bench_kernels", 1
    output = default
    while output.exists():
        number += 1
        output = default.with_name(f"{default.name}-{number}")
    return output
