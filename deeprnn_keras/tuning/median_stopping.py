"""Median stopping rule: which running trials to prune."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

MIN_OTHERS = 3  # minimum number of trials to compare with
WARM_UP_EPOCHS = 1  # no trial is pruned in these first epochs


def should_prune(curve: Sequence[tuple[int, float]], others: Iterable[Sequence[tuple[int, float]]], step: int) -> bool:
    """Return whether the best value of a trial so far is worse than the median of other trials at the same step.

    This is the rule of Golovin et al. 2017 (Google Vizier), but with the median of the other trials' values at the step
    instead of their running means, as in Optuna.

    Args:
        curve: (step, value) of the trial, to be minimized.
        others: Curves of the other trials.
        step: The current step; other trials without a value at this step are ignored.

    >>> from deeprnn_keras.tuning.median_stopping import should_prune
    >>> should_prune([(0, 3.0), (1, 2.9)], [[(0, 2.0), (1, 1.0 + k)] for k in range(3)], step=1)
    True
    """
    if step < WARM_UP_EPOCHS:
        return False
    at_step = [dict(other)[step] for other in others if step in dict(other)]
    return len(at_step) >= MIN_OTHERS and min(value for _, value in curve) > median(at_step)
