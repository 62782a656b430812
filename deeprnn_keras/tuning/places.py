"""Places of a study: each trial of a shared search takes one, and a place whose trial was lost is filled again.

A search of N trials has the places 0 to N - 1. A place is a number that Optuna's trials carry as an attribute; a trial
that replaces another takes over its place. The draws and the directory of a trial depend on its place alone, so that
the results of a search do not depend on which machine ran which trial, or on how many of them were killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna import create_trial
from optuna.trial import TrialState

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

PLACE = "place"  # attribute of a trial: its number
ATTEMPT = "attempt"  # attribute: number of samples outside the budget that this place has drawn before
MESSAGE = "message"  # attribute of a trial that has failed with an error, or was refused
RETURNED = "returned"  # attribute of a trial that a worker has given back when it was stopped
REDUNDANT = "redundant"  # attribute of a trial that was added for a place that was not free
MAX_ATTEMPTS = 200  # samples per place
MAX_LOSSES = 10  # number of times that the trial of a place is lost before the place is given up


def fill(study: optuna.Study, count: int) -> None:
    """Add a waiting trial for each place below `count` that has no trial, or only lost ones.

    A trial is lost if it has failed without a message: its worker was killed or stopped. The values that it had drawn
    are kept. A place whose worker was killed more than `MAX_LOSSES` times is given up: a failed trial states this. Two
    workers that fill the same place at the same time add two trials, of which `is_redundant` excludes the second.

    Args:
        study: The study.
        count: Number of places.
    """
    by_place: dict[int, list[FrozenTrial]] = {place: [] for place in range(count)}
    for trial in trials_with_place(study):
        by_place[trial.user_attrs[PLACE]].append(trial)
    for place, trials in by_place.items():
        attempt = max((trial.user_attrs[ATTEMPT] for trial in trials), default=0)
        last = [trial for trial in trials if trial.user_attrs[ATTEMPT] == attempt]
        if all(map(is_lost, last)):
            study.add_trial(_successor(last) if last else _waiting(place, attempt))


def _waiting(place: int, attempt: int) -> FrozenTrial:
    return create_trial(state=TrialState.WAITING, user_attrs={PLACE: place, ATTEMPT: attempt})


def _successor(lost: list[FrozenTrial]) -> FrozenTrial:
    """Return the trial that replaces the last one of `lost`, or states that the place is given up."""
    last, state = lost[-1], TrialState.WAITING
    attributes = {name: last.user_attrs[name] for name in (PLACE, ATTEMPT)}
    num_killed = sum(RETURNED not in trial.user_attrs for trial in lost)
    if num_killed > MAX_LOSSES:
        state = TrialState.FAIL
        attributes[MESSAGE] = f"its worker was killed {num_killed} times"
    return create_trial(
        state=state,
        params=last.params,
        distributions=last.distributions,
        user_attrs=attributes,
        intermediate_values=last.intermediate_values,
    )


def draw_again(study: optuna.Study, trial: optuna.Trial) -> bool:
    """Add a trial that draws other values for the place of a trial outside the budget; return False after too many."""
    attempt = trial.user_attrs[ATTEMPT] + 1
    if attempt >= MAX_ATTEMPTS:
        return False
    study.add_trial(_waiting(trial.user_attrs[PLACE], attempt))
    return True


def is_lost(trial: FrozenTrial) -> bool:
    """Return whether the worker of a trial was killed, declared dead, or stopped."""
    return trial.state == TrialState.FAIL and MESSAGE not in trial.user_attrs


def is_outside_budget(trial: FrozenTrial) -> bool:
    """Return whether a trial was ended before training, because its model is outside the budget."""
    return trial.state == TrialState.PRUNED and MESSAGE in trial.user_attrs


def is_redundant(study: optuna.Study, trial: optuna.Trial) -> bool:
    """Return whether an earlier trial of the same place is waiting, running, or has ended by itself."""
    place, attempt = trial.user_attrs[PLACE], trial.user_attrs[ATTEMPT]
    return any(
        other.number < trial.number and other.user_attrs[ATTEMPT] >= attempt and not is_lost(other)
        for other in trials_with_place(study)
        if other.user_attrs[PLACE] == place
    )


def trials_with_place(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that take a place.

    Others are redundant, or were started when no trial was waiting; they have ended without training.
    """
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if PLACE in trial.user_attrs and REDUNDANT not in trial.user_attrs]


def num_open(study: optuna.Study) -> int:
    """Return the number of trials that are waiting or running."""
    return sum(not trial.state.is_finished() for trial in trials_with_place(study))


def num_waiting(study: optuna.Study) -> int:
    """Return the number of trials that are waiting."""
    return sum(trial.state == TrialState.WAITING for trial in trials_with_place(study))
