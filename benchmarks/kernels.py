"""Comparison of recurrent layers: plot in the README, tables in docs/kernels.md. Takes about 50 minutes on 2 cores.

python -m benchmarks.kernels                      # measures, in runs/benchmark_kernels
python -m benchmarks.kernels --resume             # continues an interrupted run
python -m benchmarks.kernels runs/bench_kernels   # uses the results of `deeprnn bench kernels`
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.generated import ROOT, update_pages
from deeprnn_keras._types import Config
from deeprnn_keras.bench.epoch import full_epoch_seconds
from deeprnn_keras.bench.goals import MAXIMUM, MEAN, Goal, evaluate_goals
from deeprnn_keras.bench.report import markdown_table
from deeprnn_keras.bench.results import Results, load_results
from deeprnn_keras.bench.tables import group_table

NAME = "kernels"
RESULTS = ROOT / "benchmarks" / "results" / "kernels"
FILES = ("results.json", "results.md", "results.csv", "steps.png")
LSTM: Config = {"cells": ("lstm",), "modes": ("train",), "min_units": 128}


def summary(results: Results) -> str:
    """Return the section of the README: plot and text."""
    plot = "![Time per training update of LSTMs: Keras, DeepRNN, PyTorch](benchmarks/results/kernels/steps.png)"
    about = results["about"]
    device = f"Measured on {about['device']}, {about['date']}. All figures: [kernels](docs/kernels.md#measurements)."
    return "\n\n".join([plot, f"{_training(results)} {device}"]) + "\n"


def details(results: Results) -> str:
    """Return the section of docs/kernels.md: table, memory, epochs, and environment."""
    introduction = (
        "The table shows the time of `DeepRNN` divided by that of the others, as the geometric mean over the sizes "
        "(minimum to maximum):"
    )
    parts = [introduction, markdown_table(group_table(results)), _memory(results), _epochs(results)]
    return "\n\n".join([*filter(None, parts), _environment(results["about"]), *results["notes"]]) + "\n"


def _training(results: Results) -> str:
    goals = (Goal("keras", MEAN, None, **LSTM), Goal("torch", MEAN, None, **LSTM), Goal("keras", MAXIMUM, None))
    outcomes = {(outcome.goal.baseline, outcome.goal.statistic): outcome for outcome in evaluate_goals(results, goals)}
    keras, torch, maximum = (outcomes.get((goal.baseline, goal.statistic)) for goal in goals)
    sentences = []
    if keras:
        sentences.append(
            f"For LSTMs with h ≥ 128, a training update of `DeepRNN` takes **{keras.value:.2f} times as long as one of "
            f"`keras.layers.LSTM`** with the defaults of `model.fit` (geometric mean over {keras.count} sizes; "
            f"{1 / keras.value:.1f}x as fast)"
            + (f", and {torch.value:.2f} times as long as one of `torch.nn.LSTM`." if torch else ".")
        )
    if maximum:
        sentences.append(
            f"The largest ratio to Keras in all {maximum.count} cases is {maximum.value:.2f} ({maximum.slowest})."
        )
    return " ".join(sentences)


def _memory(results: Results) -> str:
    measured = {name: figures for name, figures in results["memory"].items() if "growth_mb" in figures}
    if not measured:
        return ""
    (case,) = {figures["case"] for figures in measured.values()}
    values = ", ".join(f"{name} {figures['growth_mb']:,.0f} MB" for name, figures in measured.items())
    return f"Training memory ({case}, L x h x n x T; growth of the resident memory during 2 updates): {values}."


def _epochs(results: Results) -> str:
    measured = {name: figures for name, figures in results["epoch"].items() if "error" not in figures}
    if not measured:
        return ""
    figures = next(iter(measured.values()))
    extrapolated = figures["updates"] < figures["updates_per_epoch"]
    note = f", extrapolated from {figures['updates']:,} updates" if extrapolated else ""
    first, second = (
        ", ".join(f"{name} {full_epoch_seconds(values)[epoch]:.0f} s" for name, values in measured.items())
        for epoch in (0, 1)
    )
    return (
        f"One epoch of `kjv_lstm_2x256` on the King James Bible ({figures['updates_per_epoch']:,} updates{note}): "
        f"{second}. The first epoch, including compilation: {first}."
    )


def _environment(about: Config) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items() if name != "deeprnn-keras")
    return (
        f"Measured on {about['device']} ({versions}, Python {about['python']}, {about['date']}): medians of "
        f"{about['rounds']} alternating rounds. [results.md](../benchmarks/results/kernels/results.md) lists all "
        "figures and explains the method. `deeprnn bench kernels` measures your machine."
    )


def main(*arguments: str) -> None:
    """Copy the results of a finished run, or of a new one, to `RESULTS`, and update the pages."""
    resume = "--resume" in arguments
    directories = [argument for argument in arguments if argument != "--resume"]
    directory = Path(directories[0]) if directories else ROOT / "runs" / "benchmark_kernels"
    if resume or not directories:
        command = [sys.executable, "-m", "deeprnn_keras.cli", "bench", "kernels", "--output", str(directory)]
        subprocess.run(command + ["--resume"] * resume, check=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(directory / name, RESULTS / name)
    update_pages(NAME, build_blocks())


def build_blocks() -> dict[str, str]:
    """Return the block of each page for the saved results."""
    results = load_results(RESULTS)
    if results is None:
        raise FileNotFoundError(f"{str(RESULTS)!r} contains no results; run python -m benchmarks.kernels")
    return {"README.md": summary(results), "docs/kernels.md": details(results)}


if __name__ == "__main__":
    main(*sys.argv[1:])
