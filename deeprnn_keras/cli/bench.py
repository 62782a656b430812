"""`deeprnn bench`."""

import sys
from pathlib import Path

import click

QUICK = {"rounds": 3, "seconds": 0.3}


def _split(ctx, param, values):
    """("a,b", "c") -> ("a", "b", "c")"""
    return tuple(part for value in values for part in value.split(","))


def _several(name, target, what, words):
    """An option with values joined by commas, or given several times."""
    return click.option(name, target, multiple=True, callback=_split, metavar=what, help=words)


@click.group()
def bench():
    """Measures this machine."""


@bench.command()
@_several("--sizes", "sizes", "LxhxnxT", "Layers, units, batch and steps, such as 2x256x32x35.")
@_several("--cell", "cells", "CELL", "lstm, gru or rnn.")
@_several("--mode", "modes", "MODE", "train or infer.")
@_several("--impl", "implementations", "NAME", "keras, torch, drop-ins or DeepRNN.")
@click.option("--rounds", type=int, help="Turns of each implementation per case.  [default: 5]")
@click.option("--seconds", type=float, help="Length of a turn; it has three steps at least.  [default: 0.6]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of weights and data.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The directory for the figures; it must not exist yet. Default: runs/bench_kernels, or that with a number.",
)
@click.option("--quick", is_flag=True, help="An impression in about two minutes: LSTM, three sizes, the grid only.")
@click.option("--no-memory", is_flag=True, help="Leave out memory in training.")
@click.option("--no-epoch", is_flag=True, help="Leave out the epochs on the King James Bible.")
@click.option("--epoch-updates", type=int, default=300, show_default=True, help="Updates of an epoch, at most.")
@click.option("--resume", is_flag=True, help="Go on with what is in --output.")
def kernels(seed, output, resume, **choice):
    """Compares recurrent layers on this machine's processor: Keras', ours, PyTorch's.

    --sizes, --cell, --mode and --impl take several values joined by commas; without them all are measured. Ctrl-C ends
    the run and keeps what is measured.
    """
    from rich.console import Console

    from deeprnn_keras.bench.environment import environment_of_worker, load_notes
    from deeprnn_keras.bench.report import print_report, write_report
    from deeprnn_keras.bench.results import about_run, load_results, new_results, resumed
    from deeprnn_keras.bench.run import expected_seconds, run
    from deeprnn_keras.bench.watch import Bar
    from deeprnn_keras.cli.exit_codes import INTERRUPTED

    console = Console()
    settings, notes = _settings(seed=seed, **choice)
    notes += load_notes()
    directory = _directory(output, resume)
    for note in notes:
        console.print(note, highlight=False, markup=False)
    with console.status("starting TensorFlow"):
        about = about_run(settings, environment_of_worker())
    results = resumed(load_results(directory), about) if resume else new_results(about)
    results["notes"] = list(dict.fromkeys([*results["notes"], *notes]))
    interrupted = False
    try:
        with Bar(console, expected_seconds(settings)).shown() as bar:
            run(settings, results, directory, bar)
    except KeyboardInterrupt:
        interrupted = True
    measured = results["cases"] or results["memory"] or results["epoch"]
    if measured:
        paths = write_report(results, directory)
        print_report(results, console)
        console.print(*[str(path) for path in paths], sep="\n", highlight=False, markup=False, soft_wrap=True)
    if interrupted:
        words = f"Go on with: --resume --output {directory}" if measured else "before anything was measured."
        console.print(f"Interrupted{'.' if measured else ''} {words}", style="yellow", markup=False, soft_wrap=True)
        sys.exit(INTERRUPTED)


def _settings(sizes, cells, modes, implementations, rounds, seconds, quick, no_memory, no_epoch, epoch_updates, seed):
    """(`Settings`, notes on what is left out)."""
    from deeprnn_keras import zoo
    from deeprnn_keras.bench.case import CELLS, MODES, QUICK_SIZES, SIZES, grid
    from deeprnn_keras.bench.epoch import epoch_of
    from deeprnn_keras.bench.implementations import COMPARED, missing
    from deeprnn_keras.bench.settings import LONG_SEQUENCES, Settings

    default = {"rounds": rounds, "seconds": seconds}
    given = {key: value for key, value in default.items() if value is not None}
    all_sizes, all_cells = (QUICK_SIZES, ("lstm",)) if quick else (SIZES, CELLS)
    settings = Settings(
        cases=tuple(grid(sizes or all_sizes, cells or all_cells, modes or MODES)),
        implementations=tuple(dict.fromkeys(implementations)) or COMPARED,
        memory=None if no_memory or quick else LONG_SEQUENCES,
        epoch=None if no_epoch or quick else epoch_of(zoo.info("kjv_lstm_2x256")),
        epoch_updates=epoch_updates,
        seed=seed,
        **{**(QUICK if quick else {}), **given},
    )
    absent = missing(settings.implementations)
    return settings.without(absent), [f"{name} is left out: {why}" for name, why in absent.items()]


def _directory(output, resume):
    from deeprnn_keras import checks
    from deeprnn_keras.bench.results import FILE

    if resume:
        if output is None or not (output / FILE).is_file():
            raise ValueError(f"--resume continues {FILE} in the directory --output; got --output {output}")
        return output
    if output is not None:
        return checks.new_directory("--output", output)
    default, number = Path("runs") / "bench_kernels", 1
    output = default
    while output.exists():
        number += 1
        output = default.with_name(f"{default.name}-{number}")
    return output
