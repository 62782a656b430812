"""The README's comparison of kernels: the whole grid, memory and epochs, some fifty minutes on two cores.

python -m benchmarks.kernels                      # measures, in runs/benchmark_kernels
python -m benchmarks.kernels --resume             # goes on with what is there
python -m benchmarks.kernels runs/bench_kernels   # takes what `deeprnn bench kernels` has measured there
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from deeprnn_keras.bench.epoch import whole_epochs
from deeprnn_keras.bench.goals import MEAN, WORST, Goal, outcomes
from deeprnn_keras.bench.report import markdown_table
from deeprnn_keras.bench.results import load_results
from deeprnn_keras.bench.tables import group_table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "kernels"
README = ROOT / "README.md"
FILES = ("results.json", "results.md", "results.csv", "steps.png")
LSTM = {"cells": ("lstm",), "modes": ("train",), "least_units": 128}


def section(results):
    """The README's words, picture and table for a `results.json`."""
    picture = "![Time of a training step of LSTMs: Keras, ours, PyTorch](benchmarks/results/kernels/steps.png)"
    parts = [picture, _training(results), markdown_table(group_table(results)), _memory(results), _epochs(results)]
    return "\n\n".join([*filter(None, parts), _measured_on(results["about"]), *results["notes"]]) + "\n"


def with_section(readme, text):
    """The README with its comparison replaced."""
    pattern = r"(<!-- kernels -->\n).*?(<!-- end of kernels -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{text}{found[2]}", readme, flags=re.DOTALL)


def _training(results):
    goals = (Goal("keras", MEAN, None, **LSTM), Goal("torch", MEAN, None, **LSTM), Goal("keras", WORST, None))
    found = {(outcome.goal.other, outcome.goal.statistic): outcome for outcome in outcomes(results, goals)}
    keras, torch, worst = (found.get((goal.other, goal.statistic)) for goal in goals)
    words = []
    if keras:
        words.append(
            f"An update of LSTMs with h ≥ 128 takes `DeepRNN` **{keras.value:.2f} of the time of `keras.layers.LSTM`** "
            f"under `model.fit`'s defaults (geometric mean of {keras.count} sizes: {1 / keras.value:.1f} times faster)"
            + (f" and {torch.value:.2f} of that of `torch.nn.LSTM`." if torch else ".")
        )
    if worst:
        words.append(
            f"In the worst of all {worst.count} cases, {worst.worst}, it takes {worst.value:.2f} of Keras' time. "
            "DeepRNN's time as a multiple of that of others, geometric mean over the sizes (least to greatest):"
        )
    return " ".join(words)


def _memory(results):
    found = {name: figures for name, figures in results["memory"].items() if "growth_mb" in figures}
    if not found:
        return ""
    (case,) = {figures["case"] for figures in found.values()}
    each = ", ".join(f"{name} {figures['growth_mb']:,.0f}" for name, figures in found.items())
    return f"Memory that an update adds ({case}, L x h x n x T), in MB: {each}."


def _epochs(results):
    found = {name: figures for name, figures in results["epoch"].items() if "error" not in figures}
    if not found:
        return ""
    figures = next(iter(found.values()))
    part = figures["updates"] < figures["updates_per_epoch"]
    how = f", reckoned from {figures['updates']:,} updates" if part else ""
    each = ", ".join(f"{name} {whole_epochs(one)[1]:.0f}" for name, one in found.items())
    first = ", ".join(f"{name} {whole_epochs(one)[0]:.0f}" for name, one in found.items())
    return (
        f"An epoch of `kjv_lstm_2x256` on the King James Bible, {figures['updates_per_epoch']:,} updates{how}, in "
        f"seconds: {each}; the first epoch, with what is compiled: {first}."
    )


def _measured_on(about):
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items() if name != "deeprnn-keras")
    return (
        f"Measured side by side on {about['device']} ({versions}, Python {about['python']}, {about['date']}), medians "
        f"of {about['rounds']} alternating rounds; all figures and how they were taken: "
        "[results.md](benchmarks/results/kernels/results.md). For your machine: `deeprnn bench kernels`."
    )


def main(*arguments):
    """Writes the results of a run, of a new one if no directory is given."""
    resume = "--resume" in arguments
    directories = [argument for argument in arguments if argument != "--resume"]
    directory = Path(directories[0]) if directories else ROOT / "runs" / "benchmark_kernels"
    if resume or not directories:
        command = [sys.executable, "-m", "deeprnn_keras.cli", "bench", "kernels", "--output", str(directory)]
        subprocess.run(command + ["--resume"] * resume, check=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(directory / name, RESULTS / name)
    README.write_text(with_section(README.read_text(encoding="utf-8"), current()), encoding="utf-8")


def current():
    """The section for the results that are there."""
    return section(load_results(RESULTS))


if __name__ == "__main__":
    main(*sys.argv[1:])
