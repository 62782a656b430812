"""The command `deeprnn bench`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from deeprnn_keras.cli.bench_options import list_option
from deeprnn_keras.cli.bench_serving import serving
from deeprnn_keras.cli.option_types import format_start
from deeprnn_keras.cli.output_directory import unused_directory

if TYPE_CHECKING:
    from deeprnn_keras.bench.results import Options, Results
    from deeprnn_keras.bench.settings import Settings

QUICK_ROUNDS, QUICK_SECONDS = 3, 0.3


@click.group()
def bench() -> None:
    """Run benchmarks on this machine."""


bench.add_command(serving)


@bench.command()
@list_option(
    "--sizes", "sizes", "LxhxnxT", "Layers L, units h, batch size n, and time steps T, for example 2x256x32x35."
)
@list_option("--cell", "cells", "CELL", "Cells: lstm, gru, rnn.")
@list_option("--mode", "modes", "MODE", "Modes: train, infer.")
@list_option("--impl", "implementations", "NAME", "Implementations: keras, torch, drop-ins, DeepRNN, 'DeepRNN remat'.")
@click.option(
    "--rounds", type=int, help="Rounds per case; each round measures every implementation once.  [default: 5]"
)
@click.option(
    "--seconds",
    type=float,
    help="Duration of each measurement in seconds; at least 3 steps are run.  [default: 0.6]",
)
@click.option("--seed", type=int, help="Random seed for weights and data.  [default: 0]")
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
@click.option("--epoch-updates", type=int, help="Maximum number of updates measured per epoch.  [default: 300]")
@click.option(
    "--resume", is_flag=True, help="Resume the interrupted measurement in --output with its original options."
)
def kernels(output: Path | None, resume: bool, **options: Any) -> None:
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
    passed: dict[str, Any] = {name: _to_json(value) for name, value in options.items() if not _is_default(value)}
    directory = _output_directory(output, resume)
    existing = load_results(directory) if resume else None
    started_with = passed if existing is None else _stored_options(directory, existing, passed)
    settings, notes = _installed(_settings(**started_with))
    notes += load_notes()
    for note in notes:
        console.print(note, highlight=False, markup=False)
    with console.status("starting TensorFlow"):
        about = run_metadata(settings, worker_environment())
    results = resume_results(existing, about) if existing else new_results(about, cast("Options", passed))
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
            message = f"Interrupted. Resume with: deeprnn bench kernels --resume --output {directory}"
        console.print(message, style="yellow", markup=False, soft_wrap=True)
        sys.exit(INTERRUPTED)


def _is_default(value: object) -> bool:
    """Return True for the value of an option that was not passed."""
    return value is None or value is False or value == ()


def _to_json(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _stored_options(directory: Path, results: Results, passed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the measurement to resume was started with.

    Args:
        directory: Output directory.
        results: Its results.
        passed: The options passed together with --resume.

    Raises:
        DamagedFileError: If a stored option is invalid.
        ValueError: If an option differs from the one that the measurement was started with.
    """
    from deeprnn_keras.bench.results import FILE
    from deeprnn_keras.reading import damage_reported

    stored: dict[str, Any] = {**results["options"]}
    with damage_reported(directory / FILE, "the results of a measurement"):
        _settings(**stored)
    for name, value in passed.items():
        if stored.get(name) != value:
            raise ValueError(
                f"the measurement in {str(directory)!r} was started "
                f"{format_start(name, stored.get(name), repr(stored.get(name)))}, got {name} = {value!r} with "
                "--resume; leave the option out, or start a new measurement in another directory"
            )
    return stored


def _settings(
    sizes: Sequence[str] = (),
    cells: Sequence[str] = (),
    modes: Sequence[str] = (),
    implementations: Sequence[str] = (),
    quick: bool = False,
    no_memory: bool = False,
    no_epoch: bool = False,
    **numbers: Any,
) -> Settings:
    """Return the `Settings` for options of the command; `numbers` are rounds, seconds, seed, and epoch_updates."""
    from deeprnn_keras import zoo
    from deeprnn_keras.bench.case import CELLS, MODES, QUICK_SIZES, SIZES, grid
    from deeprnn_keras.bench.epoch import epoch_config
    from deeprnn_keras.bench.implementations import COMPARED
    from deeprnn_keras.bench.settings import LONG_SEQUENCES, Settings

    durations = {"rounds": QUICK_ROUNDS, "seconds": QUICK_SECONDS} if quick else {}
    all_sizes, all_cells = (QUICK_SIZES, ("lstm",)) if quick else (SIZES, CELLS)
    return Settings(
        cases=tuple(grid(sizes or all_sizes, cells or all_cells, modes or MODES)),
        implementations=tuple(dict.fromkeys(implementations)) or COMPARED,
        memory=None if no_memory or quick else LONG_SEQUENCES,
        epoch=None if no_epoch or quick else epoch_config(zoo.info("kjv_lstm_2x256")),
        **{**durations, **numbers},
    )


def _installed(settings: Settings) -> tuple[Settings, list[str]]:
    """Return the settings without implementations whose package is not installed, and a note for each of these."""
    from deeprnn_keras.bench.implementations import missing_packages

    missing = missing_packages(settings.implementations)
    return settings.without(missing), [f"{name} is skipped: {reason}" for name, reason in missing.items()]


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
