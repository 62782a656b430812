"""Reports of the results: Markdown, CSV, a plot, and tables on a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.bench.plot import plot_step_times
from deeprnn_keras.bench.results import Results
from deeprnn_keras.bench.tables import TextTable, all_tables, csv_rows
from deeprnn_keras.writing import save_table, save_text

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod

NOTES = (
    "A case LxhxnxT has L layers of h units, batch size n, and T time steps. Its models have d = h inputs and a head "
    "with one output per time step. A time is the median over rounds of the median step time of a round; ± is the "
    "largest deviation of a round from this median. The implementations alternate, each in a separate process. keras: "
    "stacked layers of keras.layers, with the defaults of model.fit. torch: nn.LSTM, nn.GRU, or nn.RNN, eager, with "
    "the default number of threads. drop-ins: stacked deeprnn_keras.LSTM, GRU, or SimpleRNN. products: the matrix "
    "products of the case alone, with tf.matmul."
)


def write_report(results: Results, directory: PathLike) -> list[Path]:
    """Write results.md, results.csv, and, if LSTM training was measured, steps.png; return the paths."""
    directory = Path(directory)
    paths = [directory / "results.md", directory / "results.csv"]
    save_text(markdown(results), paths[0])
    save_table(csv_rows(results), paths[1])
    plot_path = directory / "steps.png"
    return [*paths, plot_path] if plot_step_times(results, plot_path) else paths


def markdown(results: Results) -> str:
    """Return the report in Markdown."""
    parts = ["# Benchmark of recurrent layers", environment_line(results["about"]), NOTES, *results["notes"]]
    parts += [f"## {table.title}\n\n{markdown_table(table)}" for table in all_tables(results)]
    return "\n\n".join(parts) + "\n"


def environment_line(about: Config) -> str:
    """Return the environment and the settings of the results in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return (
        f"{about['device']}; {versions}; Python {about['python']}; {about['rounds']} rounds of "
        f"{about['seconds']:g} s; seed {about['seed']}; {about['date']}."
    )


def markdown_table(table: TextTable) -> str:
    """Return a table in Markdown."""
    rules = [{"l": "---", "r": "---:"}[alignment] for alignment in table.alignments]
    rows = [[cell.replace("|", "\\|") for cell in row] for row in [table.headings, rules, *table.rows]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def print_report(results: Results, console: Console) -> None:
    """Print the short form of all tables."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    justify: dict[str, JustifyMethod] = {"l": "left", "r": "right"}
    for text_table in all_tables(results, brief=True):
        table = Table(box=box.SIMPLE, padding=0, show_edge=False)
        for heading, alignment in zip(text_table.headings, text_table.alignments, strict=True):
            table.add_column(heading.replace(" ", "\n"), justify=justify[alignment])
        for row in text_table.rows:
            table.add_row(*map(Text, row))
        console.print(Text(text_table.title, style="bold"), table, "", sep="\n")
    console.print(NOTES, style="dim", highlight=False)
