"""Tables of the results for the terminal, Markdown, and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from deeprnn_keras._types import Config
from deeprnn_keras.bench.case import CELLS, MODES, Case
from deeprnn_keras.bench.epoch import full_epoch_seconds
from deeprnn_keras.bench.goals import MAXIMUM, MEAN, Goal, case_ratios, evaluate_goals
from deeprnn_keras.bench.implementations import IMPLEMENTATIONS, LOWER_BOUND
from deeprnn_keras.bench.results import CaseFigures, Figures, Results
from deeprnn_keras.bench.summary import geometric_mean, median_ms, ratio, round_range

EMPTY = "-"
BASELINES = ("keras", "torch", "drop-ins")
RATIO_TITLE = "Time of DeepRNN divided by that of other implementations"


class TextTable(NamedTuple):
    """Table of text.

    Attributes:
        title: Title.
        headings: Headings of the columns.
        rows: Rows of cells.
        alignments: One letter per column, "l" for left or "r" for right.
    """

    title: str
    headings: list[str]
    rows: list[list[str]]
    alignments: str


def all_tables(results: Results, brief: bool = False) -> list[TextTable]:
    """Return the tables that have rows.

    Args:
        results: Results.
        brief: If True, omit the deviations and the table of first calls.
    """
    tables = [goal_table(results), group_table(results), *[case_table(results, mode, not brief) for mode in MODES]]
    tables += [] if brief else [first_call_table(results)]
    tables += [memory_table(results), epoch_table(results), failure_table(results)]
    return [table for table in tables if table.rows]


def goal_table(results: Results) -> TextTable:
    """Return the table of the performance goals."""
    rows = []
    for outcome in evaluate_goals(results):
        goal = outcome.goal
        verdict = {None: "", True: "met", False: "missed"}[outcome.met]
        verdict += f": {outcome.slowest}" if goal.statistic == MAXIMUM and not outcome.met else ""
        limit = EMPTY if goal.limit is None else f"{goal.limit:.2f}"
        statistic = f"{goal.statistic} of {outcome.count}"
        rows.append([goal.group, goal.baseline, statistic, f"{outcome.value:.2f}", limit, verdict])
    headings = ["cases", "compared with", "statistic", "ratio", "limit", "goal"]
    return TextTable(RATIO_TITLE, headings, rows, "lllrrl")


def group_table(results: Results) -> TextTable:
    """Return the table of the geometric mean, minimum, and maximum over the sizes, for each mode and cell."""
    rows = []
    for mode, cell in product(MODES, CELLS):
        goals = [Goal(baseline, MEAN, None, (cell,), (mode,)) for baseline in BASELINES]
        ratios = [list(case_ratios(results, goal).values()) for goal in goals]
        if any(ratios):
            rows.append([f"{mode}, {cell}", *[_mean_and_range(values) for values in ratios]])
    title = f"{RATIO_TITLE}: geometric mean over the sizes (minimum to maximum)"
    return TextTable(title, ["", *BASELINES], rows, "lrrr")


def case_table(results: Results, mode: str, with_deviations: bool = True) -> TextTable:
    """Return the table of milliseconds of each implementation in each case of a mode.

    Args:
        results: Results.
        mode: "train" or "infer".
        with_deviations: If True, add the largest deviation of a round from the median, in percent.
    """
    cases, names = _cases(results, mode)
    baselines = [name for name in BASELINES if {name, "DeepRNN"} <= set(names)]
    rows = [
        [
            f"{case.cell} {case.size}",
            *[_format_ms(figures.get(name), with_deviations) for name in names],
            *[_format_ratio(ratio(figures, "DeepRNN", baseline)) for baseline in baselines],
        ]
        for case, figures in cases
    ]
    headings = ["case", *names, *[f"DeepRNN / {baseline}" for baseline in baselines]]
    unit = {"train": "training update", "infer": "prediction"}[mode]
    ratios = "; time of DeepRNN divided by that of the others" if baselines else ""
    title = f"{mode}: milliseconds per {unit}{ratios}"
    return TextTable(title, headings, rows, "l" + "r" * (len(headings) - 1))


def first_call_table(results: Results) -> TextTable:
    """Return the table of seconds of the first update, which includes tracing and compilation."""
    cases, names = _cases(results, "train")
    names = [name for name in names if name != LOWER_BOUND]
    rows = []
    for case, figures in cases:
        cells = [_format_first_call(figures.get(name) or {}) for name in names]
        rows.append([f"{case.cell} {case.size}", *cells])
    title = "Seconds of the first update, including compilation"
    return TextTable(title, ["case", *names], rows, "l" + "r" * len(names))


def _cases(results: Results, mode: str) -> tuple[list[tuple[Case, CaseFigures]], list[str]]:
    """Return the sorted cases of a mode with their figures, and the names of all implementations measured in them."""
    cases = [(Case.from_key(key), figures) for key, figures in results["cases"].items()]
    cases = sorted((item for item in cases if item[0].mode == mode), key=lambda item: item[0].sort_key)
    return cases, [name for name in IMPLEMENTATIONS if any(name in figures for _, figures in cases)]


def memory_table(results: Results) -> TextTable:
    """Return the table of the growth of resident memory."""
    measured = {name: figures for name, figures in results["memory"].items() if "growth_mb" in figures}
    rows = [[name, f"{figures['growth_mb']:,.0f}"] for name, figures in measured.items()]
    case = next((figures["case"] for figures in measured.values()), "")
    title = f"Training memory of {case}: peak resident memory during 2 updates minus the memory before"
    return TextTable(title, ["", "MB"], rows, "lr")


def epoch_table(results: Results) -> TextTable:
    """Return the table of seconds of two epochs on the King James Bible; extrapolated values are marked."""
    rows = []
    for name, figures in results["epoch"].items():
        if "error" in figures:
            continue
        extrapolated = figures["updates"] < figures["updates_per_epoch"]
        full = [f"{'≈ ' if extrapolated else ''}{seconds:.0f}" for seconds in full_epoch_seconds(figures)]
        measured = [f"{seconds:.1f}" for seconds in figures["epochs_s"]]
        rows.append([name, f"{figures['updates']:,} of {figures['updates_per_epoch']:,}", *measured, *full])
    headings = ["", "updates measured", "first, s", "second, s", "full first epoch, s", "full second epoch, s"]
    title = "Seconds of a training epoch on the King James Bible; ≈: extrapolated with the speed of the second epoch"
    return TextTable(title, headings, rows, "lrrrrr")


def failure_table(results: Results) -> TextTable:
    """Return the table of failures with the first line of each error; the results file contains the full message."""
    parts = [*results["cases"].items(), ("memory", results["memory"]), ("epoch", results["epoch"])]
    rows = [
        [part, name, figures["error"].splitlines()[0]]
        for part, implementations in parts
        for name, figures in implementations.items()
        if "error" in figures
    ]
    return TextTable("Failures", ["case", "implementation", "error"], rows, "lll")


def csv_rows(results: Results) -> list[Config]:
    """Return one row per case and implementation for the CSV file."""
    return [
        _csv_row(Case.from_key(key), name, figures)
        for key, implementations in results["cases"].items()
        for name, figures in implementations.items()
    ]


def _csv_row(case: Case, name: str, figures: Figures) -> Config:
    least, greatest = round_range(figures) or (None, None)
    return {
        **{field: getattr(case, field) for field in ("cell", "num_layers", "units", "batch_size", "steps")},
        "mode": case.mode,
        "implementation": name,
        "milliseconds": median_ms(figures),
        "least_round_ms": least,
        "greatest_round_ms": greatest,
        "rounds": len(figures.get("rounds_ms", [])),
        "first_call_s": figures.get("first_call_s"),
    }


def _format_ms(figures: Figures | None, with_deviation: bool) -> str:
    """Return the median and the largest deviation of a round, for example '12.3 ±4%', or why there is none."""
    time, extremes = median_ms(figures), round_range(figures)
    if time is None or extremes is None:
        return EMPTY if figures is None else figures.get("unavailable", "failed")
    if not with_deviation:
        return _three_digits(time)
    deviation = max(time - extremes[0], extremes[1] - time) / time
    return f"{_three_digits(time)} ±{100 * deviation:.0f}%"


def _format_first_call(figures: Figures) -> str:
    seconds = figures.get("first_call_s")
    return figures.get("unavailable", EMPTY) if seconds is None else f"{seconds:.1f}"


def _three_digits(time: float) -> str:
    return f"{time:,.0f}" if time >= 100 else f"{time:.1f}" if time >= 10 else f"{time:.2f}"


def _mean_and_range(values: Sequence[float]) -> str:
    return f"{geometric_mean(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else EMPTY


def _format_ratio(value: float | None) -> str:
    return EMPTY if value is None else f"{value:.2f}"
