"""The results as tables of words: what terminal, Markdown and CSV show."""

from itertools import product
from typing import NamedTuple

from deeprnn_keras.bench.case import CELLS, MODES
from deeprnn_keras.bench.epoch import whole_epochs
from deeprnn_keras.bench.goals import MEAN, WORST, Goal, case_of, case_ratios, outcomes
from deeprnn_keras.bench.implementations import FLOOR, IMPLEMENTATIONS
from deeprnn_keras.bench.summary import geometric_mean, milliseconds, ratio, spread

NOTHING = "-"
OTHERS = ("keras", "torch", "drop-ins")  # what DeepRNN is compared with


class Words(NamedTuple):
    """A table: title, headings, rows of words, and one letter per column: "l" for words, "r" for numbers."""

    title: str
    headings: list
    rows: list
    sides: str


def all_tables(results, brief=False):
    """Every table that the results have something for; `brief` leaves out spreads and first calls."""
    tables = [
        goal_table(results),
        group_table(results),
        *[case_table(results, mode, spreads=not brief) for mode in MODES],
    ]
    tables += [] if brief else [first_call_table(results)]
    tables += [memory_table(results), epoch_table(results), failures(results)]
    return [table for table in tables if table.rows]


def goal_table(results):
    """Geometric means and worst cases of DeepRNN's time over that of the others."""
    rows = []
    for outcome in outcomes(results):
        goal, value = outcome.goal, outcome.value
        verdict = {None: "", True: "met", False: "missed"}[outcome.met]
        verdict += f": {outcome.worst}" if goal.statistic == WORST and not outcome.met else ""
        limit = NOTHING if goal.limit is None else f"{goal.limit:.2f}"
        words = [goal.group, goal.other, f"{goal.statistic} of {outcome.count}"]
        rows.append([*words, f"{value:.2f}", limit, verdict])
    headings = ["cases", "against", "statistic", "ratio", "at most", "goal"]
    return Words("DeepRNN's time as a multiple of that of others", headings, rows, "lllrrl")


def group_table(results):
    """For each mode and cell, the geometric mean over the sizes, and the least and the greatest ratio."""
    rows = []
    for mode, cell in product(MODES, CELLS):
        goals = [Goal(other, MEAN, None, (cell,), (mode,)) for other in OTHERS]
        ratios = [list(case_ratios(results, goal).values()) for goal in goals]
        if any(ratios):
            rows.append([f"{mode}, {cell}", *[_mean_and_range(values) for values in ratios]])
    title = "DeepRNN's time as a multiple of that of others: geometric mean over the sizes (least to greatest)"
    return Words(title, ["", *OTHERS], rows, "lrrr")


def case_table(results, mode, spreads=True):
    """Milliseconds of every implementation in every case of a mode, with or without the rounds' spreads."""
    cases, names = _cases(results, mode)
    others = [name for name in OTHERS if {name, "DeepRNN"} <= set(names)]
    rows = [
        [
            f"{case_of(key).cell} {case_of(key).size}",
            *[_milliseconds(found.get(name), spreads) for name in names],
            *[_decimals(ratio(found, "DeepRNN", other)) for other in others],
        ]
        for key, found in cases
    ]
    headings = ["case", *names, *[f"to {other}" for other in others]]
    what = {"train": "an update", "infer": "a prediction"}[mode]
    title = f"{mode}: milliseconds of {what}" + ("; DeepRNN's time as a multiple of that of others" if others else "")
    return Words(title, headings, rows, "l" + "r" * (len(headings) - 1))


def first_call_table(results):
    """Seconds of the first update, what is traced and compiled included."""
    cases, names = _cases(results, "train")
    names = [name for name in names if name != FLOOR]
    seconds = [[(found.get(name) or {}).get("first_call_s") for name in names] for _, found in cases]
    rows = [
        [f"{case_of(key).cell} {case_of(key).size}", *[NOTHING if s is None else f"{s:.1f}" for s in row]]
        for (key, _), row in zip(cases, seconds, strict=True)
    ]
    return Words("Seconds of the first update, compilation included", ["case", *names], rows, "l" + "r" * len(names))


def _cases(results, mode):
    """[(key, found)] of a mode, cell by cell, and the names of all that were measured in them."""
    cases = [(key, found) for key, found in results["cases"].items() if case_of(key).mode == mode]
    cases.sort(key=lambda item: case_of(item[0]).place)
    return cases, [name for name in IMPLEMENTATIONS if any(name in found for _, found in cases)]


def memory_table(results):
    """Growth of resident memory."""
    measured = {name: found for name, found in results["memory"].items() if "growth_mb" in found}
    rows = [[name, f"{found['growth_mb']:,.0f}"] for name, found in measured.items()]
    case = next((found["case"] for found in measured.values()), "")
    return Words(f"Memory of an update, {case}: growth of peak resident memory", ["", "MB"], rows, "lr")


def epoch_table(results):
    """Seconds of two epochs on the King James Bible; what was not run to the end is marked."""
    rows = []
    for name, found in results["epoch"].items():
        if "error" in found:
            continue
        part = found["updates"] < found["updates_per_epoch"]
        seconds = [f"{'≈ ' if part else ''}{value:.0f}" for value in whole_epochs(found)]
        ran = [f"{value:.1f}" for value in found["epochs_s"]]
        rows.append([name, f"{found['updates']:,} of {found['updates_per_epoch']:,}", *ran, *seconds])
    headings = ["", "updates measured", "first, s", "second, s", "whole first epoch, s", "whole second epoch, s"]
    return Words("model.fit on the King James Bible; ≈: the rest at the second epoch's speed", headings, rows, "lrrrrr")


def failures(results):
    """Who failed where, and the first line of why; the rest stands in the results file."""
    parts = [*results["cases"].items(), ("memory", results["memory"]), ("epoch", results["epoch"])]
    rows = [
        [where, name, figures["error"].splitlines()[0]]
        for where, found in parts
        for name, figures in found.items()
        if "error" in figures
    ]
    return Words("Failed", ["where", "who", "why"], rows, "lll")


def figures(results):
    """One dictionary per case and implementation, for a CSV file."""
    return [
        {
            **{name: getattr(case_of(key), name) for name in ("cell", "num_layers", "units", "batch_size", "steps")},
            "mode": case_of(key).mode,
            "implementation": name,
            "milliseconds": milliseconds(found),
            "least_round_ms": (spread(found) or (None, None))[0],
            "greatest_round_ms": (spread(found) or (None, None))[1],
            "rounds": len(found.get("rounds_ms", [])),
            "first_call_s": found.get("first_call_s"),
        }
        for key, everyone in results["cases"].items()
        for name, found in everyone.items()
    ]


def _milliseconds(figures, spreads):
    """'12.3 ±4%': the median, and the larger distance to least or greatest round."""
    time = milliseconds(figures)
    if time is None:
        return NOTHING if figures is None else "failed"
    if not spreads:
        return _significant(time)
    width = max(time - spread(figures)[0], spread(figures)[1] - time) / time
    return f"{_significant(time)} ±{100 * width:.0f}%"


def _significant(time):
    return f"{time:,.0f}" if time >= 100 else f"{time:.1f}" if time >= 10 else f"{time:.2f}"


def _mean_and_range(values):
    return f"{geometric_mean(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else NOTHING


def _decimals(value):
    return NOTHING if value is None else f"{value:.2f}"
