"""Report of the benchmark of streams: tables for the terminal and in Markdown, CSV, and a plot."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.bench.report import markdown_table
from deeprnn_keras.bench.results import Figures
from deeprnn_keras.bench.serving import ServingResults
from deeprnn_keras.bench.serving_case import BATCH_SIZES, IMPLEMENTATIONS, ServingCase, measured_name
from deeprnn_keras.bench.tables import EMPTY, TextTable
from deeprnn_keras.training.plotting import (
    TEXT_COLOR,
    import_pyplot,
    save_figure,
    set_legend,
    set_title,
    style_axes,
)
from deeprnn_keras.writing import save_table, save_text

if TYPE_CHECKING:
    from rich.console import Console

LABELS = {"stream": "Stream", "torch": "PyTorch", "onnxruntime": "ONNX Runtime"}
COLORS = {"stream": "#c2410c", "torch": "#9db8d2", "onnxruntime": "#8a94a0"}
NOTES = (
    "One step of an LSTM of L layers of h units, d = h, with a head, for n sequences, from a NumPy array to a NumPy "
    "array, states kept; the same weights in each implementation, each in a process of its own, alternating. torch: "
    "nn.LSTM under inference_mode. onnxruntime: a session whose states are inputs and outputs. Medians over the rounds "
    "of the median and of the 99th percentile of a step."
)


def step_us(figures: Figures | None, key: str = "rounds_us") -> float | None:
    """Return the median over the rounds in microseconds, or None without a measurement."""
    rounds = (figures or {}).get(key)
    return statistics.median(rounds) if rounds else None


def write_report(results: ServingResults, directory: PathLike) -> list[Path]:
    """Write results.md, results.csv, and serving.png; return the paths."""
    directory = Path(directory)
    paths = [directory / "results.md", directory / "results.csv", directory / "serving.png"]
    save_text(markdown(results), paths[0])
    save_table(csv_rows(results), paths[1])
    plot_steps(results, paths[2])
    return paths


def markdown(results: ServingResults) -> str:
    """Return the report in Markdown."""
    about = results["about"]
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    line = (
        f"{about['device']}; {versions}; Python {about['python']}; {about['rounds']} rounds of {about['seconds']:g} s"
    )
    parts = ["# Benchmark of streams", f"{line}; seed {about['seed']}; {about['date']}.", NOTES, *results["notes"]]
    parts += [f"## {table.title}\n\n{markdown_table(table)}" for table in all_tables(results)]
    return "\n\n".join(parts) + "\n"


def print_report(results: ServingResults, console: Console) -> None:
    """Print the short form of the tables."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    for text_table in all_tables(results, brief=True):
        table = Table(box=box.SIMPLE, padding=0, show_edge=False)
        for heading, alignment in zip(text_table.headings, text_table.alignments, strict=True):
            table.add_column(
                heading.replace(" / ", " /\n").replace(", ", ",\n"), justify="left" if alignment == "l" else "right"
            )
        for row in text_table.rows:
            table.add_row(*map(Text, row))
        console.print(Text(text_table.title, style="bold"), table, "", sep="\n")
    console.print(NOTES, style="dim", highlight=False)


def all_tables(results: ServingResults, brief: bool = False) -> list[TextTable]:
    """Return the tables that have rows; the brief ones without 99th percentiles."""
    tables = [time_table(results, n, brief) for n in sorted({case.batch_size for case in _cases(results)})]
    return [table for table in [*tables, bandwidth_table(results), failure_table(results)] if table.rows]


def time_table(results: ServingResults, batch_size: int, brief: bool = False) -> TextTable:
    """Return the table of microseconds per step, with ratios, for a batch size; without percentiles if `brief`."""
    names = _names(results)
    threads = results["about"]["threads"]
    headings = ["L x h", *names, "steps/s"]
    ratios = [(other, count) for count in threads for other in ("torch", "onnxruntime")]
    ratios = [one for one in ratios if measured_name(*one) in names and measured_name("stream", one[1]) in names]
    headings += [f"stream / {measured_name(*one)}" for one in ratios]
    rows = []
    for case in _cases(results):
        if case.batch_size != batch_size:
            continue
        figures = results["cases"][case.size]
        row = [f"{case.num_layers} x {case.units}", *[_times(figures.get(name), brief) for name in names]]
        row.append(_steps_per_second(figures, batch_size))
        rows.append(row + [_ratio(figures, *one) for one in ratios])
    kinds = "median" if brief else "median / 99th percentile"
    title = f"Batch {batch_size}: microseconds per step, {kinds}; time of stream divided by that of others"
    return TextTable(title, headings, rows, "l" + "r" * (len(headings) - 1))


def bandwidth_table(results: ServingResults) -> TextTable:
    """Return the table of the weights that a step at batch 1 reads, beside what the machine reads."""
    rows = []
    for case in _cases(results):
        measured = results["bandwidth"].get(case.size, {})
        if case.batch_size > 1 or not measured:
            continue
        row = [f"{case.num_layers} x {case.units}", f"{case.weight_bytes / 2**20:.1f}"]
        for count in results["about"]["threads"]:
            time = step_us(results["cases"][case.size].get(measured_name("stream", count)))
            row.append(EMPTY if time is None else f"{case.weight_bytes / time / 1e3:.0f}")
            row.append(f"{measured[str(count)]:.0f}" if str(count) in measured else EMPTY)
        rows.append(row)
    headings = ["L x h", "weights, MB"]
    for count in results["about"]["threads"]:
        headings += [measured_name("stream", count), measured_name("machine", count)]
    alignments = "l" + "r" * (len(headings) - 1)
    return TextTable("Batch 1: GB/s of weights, and GB/s of reading as many bytes", headings, rows, alignments)


def failure_table(results: ServingResults) -> TextTable:
    """Return the table of failures with the first line of each error."""
    rows = [
        [size, name, figures["error"].splitlines()[0]]
        for size, implementations in results["cases"].items()
        for name, figures in implementations.items()
        if "error" in figures
    ]
    return TextTable("Failures", ["case", "implementation", "error"], rows, "lll")


def csv_rows(results: ServingResults) -> list[Config]:
    """Return one row per case and implementation."""
    return [
        {
            **vars(ServingCase.from_size(size)),
            "implementation": name,
            "median_us": step_us(figures),
            "p99_us": step_us(figures, "p99_us"),
            "rounds": len(figures.get("rounds_us", [])),
            "difference": figures.get("difference"),
        }
        for size, implementations in results["cases"].items()
        for name, figures in implementations.items()
    ]


def plot_steps(results: ServingResults, path: PathLike) -> None:
    """Plot the time of a step over the size of the weights, one panel per batch size, with one thread and with two."""
    sizes = [n for n in BATCH_SIZES if any(case.batch_size == n for case in _cases(results))]
    sizes = sizes or [_cases(results)[0].batch_size]
    figure, axes = import_pyplot().subplots(
        1, len(sizes), figsize=(1 + 4 * len(sizes), 4), dpi=120, layout="constrained", squeeze=False
    )
    styles = dict(zip(results["about"]["threads"], ("-", "--", ":"), strict=False))
    for panel, n in zip(axes[0], sizes, strict=True):
        cases = sorted((case for case in _cases(results) if case.batch_size == n), key=lambda case: case.weight_bytes)
        for implementation in IMPLEMENTATIONS:
            for threads, style in styles.items():
                name = measured_name(implementation, threads)
                times = [(case.weight_bytes / 2**20, step_us(results["cases"][case.size].get(name))) for case in cases]
                points = [point for point in times if point[1] is not None]
                if points:
                    label = f"{LABELS[implementation]}, {name.partition(', ')[2]}"
                    panel.plot(*zip(*points, strict=True), style, color=COLORS[implementation], label=label, marker=".")
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlabel("weights, MB", color=TEXT_COLOR, fontsize=9)
        panel.set_title(f"batch {n}", fontsize=9, color=TEXT_COLOR)
        style_axes(panel)
    axes[0][0].set_ylabel("microseconds per step", color=TEXT_COLOR, fontsize=9)
    set_title(figure, f"One step of an LSTM, {results['about']['device']}")
    set_legend(figure, axes[0][0])
    save_figure(figure, path)


def _cases(results: ServingResults) -> list[ServingCase]:
    return [ServingCase.from_size(size) for size in results["cases"]]


def _names(results: ServingResults) -> list[str]:
    return list(dict.fromkeys(name for figures in results["cases"].values() for name in figures))


def _times(figures: Figures | None, brief: bool) -> str:
    median, p99 = step_us(figures), step_us(figures, "p99_us")
    if median is None or p99 is None:
        return EMPTY if figures is None else "failed"
    return _digits(median) if brief else f"{_digits(median)} / {_digits(p99)}"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _steps_per_second(figures: dict[str, Figures], batch_size: int) -> str:
    """Return the steps of all sequences per second with the fastest number of threads."""
    times = [step_us(one) for name, one in figures.items() if name.startswith("stream")]
    measured = [time for time in times if time is not None]
    return f"{1e6 * batch_size / min(measured):,.0f}" if measured else EMPTY


def _ratio(figures: dict[str, Figures], other: str, threads: int) -> str:
    time, baseline = (step_us(figures.get(measured_name(name, threads))) for name in ("stream", other))
    return EMPTY if time is None or baseline is None else f"{time / baseline:.2f}"
