"""The command `deeprnn bench serving`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deeprnn_keras.cli.bench_options import list_option
from deeprnn_keras.cli.output_directory import unused_directory

if TYPE_CHECKING:
    from deeprnn_keras.bench.serving_case import ServingSettings

QUICK_ROUNDS, QUICK_SECONDS = 3, 0.2


@click.command()
@list_option("--sizes", "sizes", "Lxhxn", "Layers L, units h, and batch size n, for example 2x256x1.")
@list_option("--impl", "implementations", "NAME", "Implementations: stream, torch, onnxruntime.")
@list_option("--threads", "threads", "NUMBER", "Numbers of threads.  [default: 1,2]")
@click.option("--rounds", type=int, help="Rounds per case.  [default: 5]")
@click.option("--seconds", type=float, help="Duration of each measurement in seconds.  [default: 0.4]")
@click.option("--seed", type=int, help="Random seed for weights and inputs.  [default: 0]")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Output directory; must not exist.  [default: runs/bench_serving, numbered if taken]",
)
@click.option("--quick", is_flag=True, help="Measure 3 sizes at batch 1 only, in about half a minute.")
def serving(output: Path | None, **options: Any) -> None:
    """Compare one step of a stream with PyTorch and ONNX Runtime.

    All of them run on the CPU. --sizes, --impl, and --threads accept comma-separated values. Each implementation runs
    in a process of its own for each number of threads; they alternate. Ctrl-C stops the measurement and saves the
    results obtained so far.
    """
    from rich.console import Console

    from deeprnn_keras import checks
    from deeprnn_keras.bench.environment import load_notes
    from deeprnn_keras.bench.progress import ProgressBar
    from deeprnn_keras.bench.serving import ServingResults, estimate_seconds, missing_packages, run_serving
    from deeprnn_keras.bench.serving_report import print_report, write_report
    from deeprnn_keras.cli.exit_codes import INTERRUPTED

    console = Console()
    settings = _settings(**options)
    directory = unused_directory(Path("runs") / "bench_serving") if output is None else output
    if output is not None:
        checks.new_directory("--output", output)
    missing = missing_packages(settings)
    settings = _without(settings, missing)
    notes = [f"{name} is skipped: {reason}" for name, reason in missing.items()] + load_notes()
    for note in notes:
        console.print(note, highlight=False, markup=False)
    results: ServingResults = {"about": _about(settings), "cases": {}, "bandwidth": {}, "notes": notes}
    interrupted = False
    try:
        with ProgressBar(console, estimate_seconds(settings)).shown() as bar:
            run_serving(settings, results, directory, bar.begin)
    except KeyboardInterrupt:
        interrupted = True
    if results["cases"]:
        paths = write_report(results, directory)
        print_report(results, console)
        console.print(*[str(path) for path in paths], sep="\n", highlight=False, markup=False, soft_wrap=True)
    if interrupted:
        console.print("Interrupted; the report contains the cases that were completed.", style="yellow", markup=False)
        sys.exit(INTERRUPTED)


def _settings(
    sizes: tuple[str, ...], implementations: tuple[str, ...], threads: tuple[str, ...], quick: bool, **numbers: Any
) -> ServingSettings:
    from deeprnn_keras.bench.serving_case import IMPLEMENTATIONS, QUICK_SIZES, SIZES, ServingCase, ServingSettings

    durations = {"rounds": QUICK_ROUNDS, "seconds": QUICK_SECONDS} if quick else {}
    given = {name: value for name, value in numbers.items() if value is not None}
    cases = [ServingCase.from_size(size) for size in sizes or (QUICK_SIZES if quick else SIZES)]
    counts = {"threads": tuple(_thread_count(one) for one in threads)} if threads else {}
    return ServingSettings(
        cases=tuple(dict.fromkeys(cases)),
        implementations=tuple(dict.fromkeys(implementations)) or IMPLEMENTATIONS,
        **{**durations, **counts, **given},
    )


def _thread_count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"threads must be positive integers, got {text!r}")
    return int(text)


def _without(settings: ServingSettings, missing: dict[str, str]) -> ServingSettings:
    from dataclasses import replace

    return replace(settings, implementations=tuple(one for one in settings.implementations if one not in missing))


def _about(settings: ServingSettings) -> dict[str, Any]:
    """Return device, versions, settings, and date."""
    from datetime import date

    from deeprnn_keras.bench.environment import serving_environment

    recorded = {name: getattr(settings, name) for name in ("rounds", "seconds", "seed", "threads")}
    return {**serving_environment(), **recorded, "date": date.today().isoformat()}
