"""What the kernels are made to reach, and whether they do."""

from dataclasses import dataclass

from deeprnn_keras.bench.case import CELLS, MODES, Case
from deeprnn_keras.bench.summary import geometric_mean, ratio

MEAN, WORST = "mean", "worst"  # the geometric mean, the greatest
NOISE = 1.05  # two measurements of the same thing differ by as much


@dataclass(frozen=True)
class Goal:
    """A bound on DeepRNN's time over that of another, over a group of cases.

    Attributes:
        other: the implementation compared with.
        statistic: MEAN or WORST.
        limit: the ratio that should not be exceeded, or None: only reported.
        cells, modes, least_units: which cases.
    """

    other: str
    statistic: str
    limit: float | None
    cells: tuple = CELLS
    modes: tuple = MODES
    least_units: int = 1

    def holds(self, case):
        """Whether a case belongs to the group."""
        return case.cell in self.cells and case.mode in self.modes and case.units >= self.least_units

    @property
    def group(self):
        """In words, such as 'train, LSTM, h ≥ 128'."""
        words = [] if self.modes == MODES else list(self.modes)
        words += ["/".join(cell.upper() for cell in self.cells)] if self.cells != CELLS else []
        words += [f"h ≥ {self.least_units}"] if self.least_units > 1 else []
        return ", ".join(words) or "all cases"


GOALS = (
    Goal("torch", MEAN, 1.0, ("lstm",), ("train",), 128),
    Goal("torch", WORST, 1.2, ("lstm",), ("train",), 128),
    Goal("keras", MEAN, 1 / 2.2, ("lstm",), ("train",), 128),
    Goal("keras", WORST, NOISE),
    Goal("torch", MEAN, 1.1, modes=("infer",)),
    Goal("torch", MEAN, None, ("gru",), ("train",), 128),
    Goal("torch", MEAN, None, ("rnn",), ("train",), 128),
    Goal("drop-ins", MEAN, None),
    Goal("drop-ins", WORST, NOISE),
)


@dataclass(frozen=True)
class Outcome:
    """A goal, and how it went.

    Attributes:
        value: of the statistic.
        count: cases in the group that were measured.
        worst: the key of the case with the greatest ratio.
    """

    goal: Goal
    value: float
    count: int
    worst: str

    @property
    def met(self):
        """Whether the limit holds; None without one."""
        return None if self.goal.limit is None else self.value <= self.goal.limit


def outcomes(results, goals=GOALS):
    """An `Outcome` for every goal of whose group at least one case was measured."""
    found = []
    for goal in goals:
        ratios = case_ratios(results, goal)
        if ratios:
            value = max(ratios.values()) if goal.statistic == WORST else geometric_mean(ratios.values())
            found.append(Outcome(goal, value, len(ratios), max(ratios, key=ratios.get)))
    return found


def case_ratios(results, goal):
    """{key: ratio} of the goal's cases that were measured."""
    ratios = {
        key: ratio(found, "DeepRNN", goal.other) for key, found in results["cases"].items() if goal.holds(case_of(key))
    }
    return {key: value for key, value in ratios.items() if value is not None}


def case_of(key):
    """The `Case` that a key names."""
    cell, size, mode = key.split()
    return Case.of(size, cell, mode)
