"""The results as files for people: Markdown, CSV, a picture; and as tables on a terminal."""

from pathlib import Path

from deeprnn_keras.bench.plot import plot_steps
from deeprnn_keras.bench.tables import all_tables, figures
from deeprnn_keras.training.files import save_table, save_text

NOTES = (
    "Times are medians over rounds of the median step of a round; ± is the distance to the furthest round. "
    "Means of ratios are geometric. "
    "The implementations take turns, each in a process of its own. d = h; the head is one number per step. "
    "keras: keras.layers stacked, under model.fit's defaults; torch: nn.LSTM and the like, eager, as many threads as "
    "it takes by itself; drop-ins: deeprnn_keras.LSTM and the like, stacked; products: the case's matrix products "
    "alone, by tf.matmul."
)


def write_report(results, directory):
    """results.md, results.csv and, where LSTMs were trained, steps.png; returns the paths."""
    directory = Path(directory)
    paths = [directory / "results.md", directory / "results.csv"]
    save_text(markdown(results), paths[0])
    save_table(figures(results), paths[1])
    picture = directory / "steps.png"
    return [*paths, picture] if plot_steps(results, picture) else paths


def markdown(results):
    """The whole report."""
    parts = ["# Kernels", about_line(results["about"]), NOTES, *results["notes"]]
    parts += [f"## {table.title}\n\n{markdown_table(table)}" for table in all_tables(results)]
    return "\n\n".join(parts) + "\n"


def about_line(about):
    """What the results were measured on, in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return (
        f"{about['device']}; {versions}; Python {about['python']}; {about['rounds']} rounds of "
        f"{about['seconds']:g} s; seed {about['seed']}; {about['date']}."
    )


def markdown_table(table):
    """A `Words` as a Markdown table."""
    rules = [{"l": "---", "r": "---:"}[side] for side in table.sides]
    rows = [[cell.replace("|", "\\|") for cell in row] for row in [table.headings, rules, *table.rows]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def print_report(results, console):
    """All tables on a `rich` console."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    for words in all_tables(results, brief=True):
        table = Table(box=box.SIMPLE, padding=0, show_edge=False)
        for heading, side in zip(words.headings, words.sides, strict=True):
            table.add_column(heading.replace(" ", "\n"), justify={"l": "left", "r": "right"}[side])
        for row in words.rows:
            table.add_row(*map(Text, row))
        console.print(Text(words.title, style="bold"), table, "", sep="\n")
    console.print(NOTES, style="dim", highlight=False)
