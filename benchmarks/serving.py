"""Steps of streams beside PyTorch and ONNX Runtime, in docs/programs.md. Takes about 10 minutes on 2 cores.

python -m benchmarks.serving                      # measures, in runs/benchmark_serving
python -m benchmarks.serving runs/bench_serving   # uses the results of `deeprnn bench serving`
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.generated import ROOT, update_pages
from deeprnn_keras.bench.report import markdown_table
from deeprnn_keras.bench.serving import ServingResults
from deeprnn_keras.bench.serving_case import ServingCase, measured_name
from deeprnn_keras.bench.serving_report import step_us, time_table

NAME = "serving"
RESULTS = ROOT / "benchmarks" / "results" / "serving"
FILES = ("results.json", "results.md", "results.csv", "serving.png")


def details(results: ServingResults) -> str:
    """Return the section of docs/programs.md: plot, text, and table."""
    plot = "![Microseconds per step over the size of the weights](../benchmarks/results/serving/serving.png)"
    about = results["about"]
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items() if name != "deeprnn-keras")
    environment = (
        f"Measured on {about['device']} ({versions}, Python {about['python']}, {about['date']}): medians of "
        f"{about['rounds']} alternating rounds. [results.md](../benchmarks/results/serving/results.md) lists all "
        "figures and explains the method. `deeprnn bench serving` measures your machine."
    )
    table = markdown_table(time_table(results, 1, brief=True))
    text = f"{_sentence(results)} Microseconds, L x h:"
    return "\n\n".join([plot, text, table, environment, *results["notes"]]) + "\n"


def _sentence(results: ServingResults) -> str:
    """Return the largest ratios at batch 1, for stacks up to 4 x 256 and for larger ones."""
    small = _largest(results, "torch", lambda case: case.units <= 256)
    large = _largest(results, "torch", lambda case: case.units > 256)
    onnx = _largest(results, "onnxruntime", lambda case: True)
    return (
        "One step of an LSTM at batch 1, from a NumPy array to a NumPy array, with the same number of threads: a "
        f"stream takes at most {small:.2f} times as long as PyTorch's usual loop up to 4 x 256, {large:.2f} times for "
        f"larger stacks, and {onnx:.2f} times as long as ONNX Runtime."
    )


def _largest(results: ServingResults, other: str, selected: Callable[[ServingCase], bool]) -> float:
    ratios = [0.0]
    for size, figures in results["cases"].items():
        case = ServingCase.from_size(size)
        for threads in results["about"]["threads"] if case.batch_size == 1 and selected(case) else ():
            time, baseline = (step_us(figures.get(measured_name(name, threads))) for name in ("stream", other))
            if time is not None and baseline is not None:
                ratios.append(time / baseline)
    return max(ratios)


def build_blocks() -> dict[str, str]:
    """Return the block of each page for the saved results."""
    results = json.loads((RESULTS / "results.json").read_text(encoding="utf-8"))
    return {"README.md": f"{_sentence(results)}\n", "docs/programs.md": details(results)}


def main(*arguments: str) -> None:
    """Copy the results of a finished run, or of a new one, to `RESULTS`, and update the pages."""
    directory = Path(arguments[0]) if arguments else ROOT / "runs" / "benchmark_serving"
    if not arguments:
        command = [sys.executable, "-m", "deeprnn_keras.cli", "bench", "serving", "--output", str(directory)]
        subprocess.run(command, check=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(directory / name, RESULTS / name)
    update_pages(NAME, build_blocks())


if __name__ == "__main__":
    main(*sys.argv[1:])
