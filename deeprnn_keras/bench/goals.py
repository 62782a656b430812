"""Performance goals of the kernels, and their evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deeprnn_keras.bench.case import CELLS, MODES, Case
from deeprnn_keras.bench.results import Results
from deeprnn_keras.bench.summary import geometric_mean, ratio

MEAN, MAXIMUM = "geometric mean", "maximum"
NOISE = 1.05  # two measurements of the same implementation can differ by this factor


@dataclass(frozen=True)
class Goal:
    """Upper limit on the ratio of DeepRNN's time to that of a baseline, over a group of cases.

    Attributes:
        baseline: Name of the implementation that DeepRNN is compared with.
        statistic: MEAN or MAXIMUM of the ratios.
        limit: Upper limit of the statistic, or None for a statistic that is only reported.
        cells: The group contains only cases with one of these cells: "lstm", "gru", or "rnn".
        modes: The group contains only cases with one of these modes: "train" or "infer".
        min_units: The group contains only cases with at least this number of hidden units.
    """

    baseline: str
    statistic: str
    limit: float | None
    cells: tuple[str, ...] = CELLS
    modes: tuple[str, ...] = MODES
    min_units: int = 1

    def includes(self, case: Case) -> bool:
        """Return True if the case belongs to the group."""
        return case.cell in self.cells and case.mode in self.modes and case.units >= self.min_units

    @property
    def group(self) -> str:
        """Description of the group, for example 'train, LSTM, h ≥ 128'."""
        parts = [] if self.modes == MODES else list(self.modes)
        parts += ["/".join(cell.upper() for cell in self.cells)] if self.cells != CELLS else []
        parts += [f"h ≥ {self.min_units}"] if self.min_units > 1 else []
        return ", ".join(parts) or "all cases"


GOALS = (  # on a CPU with AVX-512
    Goal("torch", MEAN, 0.80, ("lstm",), ("train",)),
    Goal("torch", MAXIMUM, 1.10, ("lstm",), ("train",)),
    Goal("torch", MEAN, 0.90, ("lstm",), ("infer",)),
    Goal("torch", MAXIMUM, 1.15, ("lstm",), ("infer",)),
    Goal("torch", MEAN, 0.60, ("gru", "rnn")),
    Goal("torch", MAXIMUM, 0.95, ("gru", "rnn")),
    Goal("keras", MEAN, 1 / 1.8, modes=("train",)),  # at least 1.8 times as fast
    Goal("keras", MAXIMUM, NOISE),
    Goal("DeepRNN XLA", MAXIMUM, NOISE, modes=("train",)),
    Goal("drop-ins", MEAN, None),
    Goal("drop-ins", MAXIMUM, NOISE),
)


@dataclass(frozen=True)
class Outcome:
    """Result of evaluating a goal.

    Attributes:
        goal: The goal.
        value: Value of the statistic.
        count: Number of measured cases in the group.
        slowest: Key of the case with the largest ratio.
    """

    goal: Goal
    value: float
    count: int
    slowest: str

    @property
    def met(self) -> bool | None:
        """True if the value is within the limit; None for a goal without a limit."""
        return None if self.goal.limit is None else self.value <= self.goal.limit


def evaluate_goals(results: Results, goals: Sequence[Goal] = GOALS) -> list[Outcome]:
    """Return an `Outcome` for each goal with at least one measured case in its group."""
    outcomes = []
    for goal in goals:
        ratios = case_ratios(results, goal)
        if ratios:
            slowest = max(ratios, key=lambda key: ratios[key])
            value = ratios[slowest] if goal.statistic == MAXIMUM else geometric_mean(ratios.values())
            outcomes.append(Outcome(goal, value, len(ratios), slowest))
    return outcomes


def case_ratios(results: Results, goal: Goal) -> dict[str, float]:
    """Return {key: ratio} of the measured cases of the goal's group."""
    ratios = {
        key: ratio(figures, "DeepRNN", goal.baseline)
        for key, figures in results["cases"].items()
        if goal.includes(Case.from_key(key))
    }
    return {key: value for key, value in ratios.items() if value is not None}
