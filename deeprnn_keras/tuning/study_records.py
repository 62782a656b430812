"""Trials of an Optuna study as `TrialRecord`, which tables, plots, and the progress display read."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from deeprnn_keras.tuning.places import MESSAGE, PLACE, is_lost, is_outside_budget, trials_with_place
from deeprnn_keras.tuning.trial_records import TrialRecord

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

METRICS, VALUES, SEED, SEEDS_PREFIX = "metrics", "values", "seed", "seeds/"  # attributes of a trial, and of the study
STATUSES = {
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETE: "COMPLETED",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAIL: "FAILED",
}


def read_study(study: optuna.Study, direction: str = "min") -> list[TrialRecord]:
    """Return the records of the trials that run or have ended, sorted by place; lost trials are omitted.

    Args:
        study: The study.
        direction: "min" or "max".
    """
    seeds = {key: json.loads(value) for key, value in study.user_attrs.items() if key.startswith(SEEDS_PREFIX)}
    trials = {
        trial.user_attrs[PLACE]: trial
        for trial in trials_with_place(study)
        if trial.state in STATUSES and not is_lost(trial) and not is_outside_budget(trial)
    }
    return [
        _record(trial, seeds.get(f"{SEEDS_PREFIX}{place}", []), direction) for place, trial in sorted(trials.items())
    ]


def _record(trial: FrozenTrial, repetitions: list[tuple[int, float]], direction: str) -> TrialRecord:
    attributes = trial.user_attrs
    epochs = sorted(trial.intermediate_values.items())
    metrics: dict[str, float] = json.loads(attributes.get(METRICS, "{}"))
    complete = trial.state == TrialState.COMPLETE
    score = trial.value if complete else None
    if trial.state == TrialState.PRUNED:
        score = _best([value for _, value in epochs], direction)
    values: dict[str, Any] = json.loads(attributes.get(VALUES, "{}"))
    return TrialRecord(
        str(attributes[PLACE]),
        STATUSES[trial.state],
        values,
        score,
        epochs,
        [(attributes[SEED], score), *((seed, value) for seed, value in repetitions)] if score is not None else [],
        metrics,
        attributes.get(MESSAGE) or _pruning_message(trial),
        metrics.get("seconds"),
    )


def _best(values: list[float], direction: str) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return None if not finite else min(finite) if direction == "min" else max(finite)


def _pruning_message(trial: FrozenTrial) -> str | None:
    if trial.state != TrialState.PRUNED:
        return None
    return f"pruned after epoch {len(trial.intermediate_values)}: worse than the median of the other trials"
