"""The median rule: which running trials are not worth their time."""

from statistics import median

OTHERS = 3  # with fewer there is nothing to compare with
FREE_EPOCHS = 1  # in which nothing is broken off


def hopeless(curve, others, step):
    """Whether the best of a trial so far is worse than the median of what others had at the same step.

    The rule of Golovin et al. 2017 (Google Vizier) with the best value so far in place of the running mean, as Optuna
    has it.

    Args:
        curve: [(step, value)] of the trial, the smaller the better.
        others: such curves of other trials.
        step: the present one; a report of another step than those others made has nothing to be compared with.

    >>> from deeprnn_keras.tuning.median_rule import hopeless
    >>> hopeless([(0, 3.0), (1, 2.9)], [[(0, 2.0), (1, 1.0 + k)] for k in range(3)], step=1)
    True
    """
    if step < FREE_EPOCHS:
        return False
    at_step = [dict(other)[step] for other in others if step in dict(other)]
    return len(at_step) >= OTHERS and min(value for _, value in curve) > median(at_step)
