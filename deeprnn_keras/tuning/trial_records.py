"""Records of trials, as read from the directory of a search."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, TypedDict

import msgspec

from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.reading import DamagedFileError, damage_reported, read_record

if TYPE_CHECKING:
    from keras_tuner import HyperParameters

TRIAL_FILE = "trial.json"
EPOCH_PREFIX, LAST_EPOCH_PREFIX, SEED_PREFIX = "epoch/", "last/", "seed/"  # prefixes of the metrics of a running trial
TUNER_PREFIX = "tuner/"  # prefix of the entries that Hyperband adds to the values


class SpaceState(TypedDict):
    """State of `keras_tuner.HyperParameters`: the declared hyperparameters, and the sampled values."""

    space: list[HyperParameterState]
    values: dict[str, bool | int | float | str | None]


class HyperParameterState(TypedDict):
    """State of a hyperparameter of keras-tuner."""

    class_name: Literal["Boolean", "Choice", "Fixed", "Float", "Int"]
    config: HyperParameterConfig


class HyperParameterConfig(TypedDict):
    """Fields that all hyperparameters of keras-tuner have in common; their classes check the others."""

    name: str
    conditions: list[ConditionState]


class ConditionState(TypedDict):
    """State of a condition of a hyperparameter of keras-tuner."""

    class_name: Literal["Parent"]
    config: ParentConfig


class ParentConfig(TypedDict):
    """Hyperparameter on which another depends, and the values for which the other is active."""

    name: str
    values: list[bool | int | float | str]


class Observation(TypedDict):
    """Values of a metric at a step."""

    value: Annotated[list[float], msgspec.Meta(min_length=1)]
    step: int


class MetricHistory(TypedDict):
    """Values of a metric in the course of a trial."""

    direction: Literal["min", "max"]
    observations: Annotated[list[Observation], msgspec.Meta(min_length=1)]


class Metrics(TypedDict):
    """Metrics of a trial."""

    metrics: dict[str, MetricHistory]


class TrialState(TypedDict):
    """State of a trial, as in keras-tuner, and the fields that this package adds."""

    trial_id: str
    hyperparameters: SpaceState
    metrics: Metrics
    score: float | None
    best_step: int | None
    status: Literal["RUNNING", "IDLE", "INVALID", "STOPPED", "COMPLETED", "FAILED"]
    message: str | None
    began: NotRequired[float]
    seconds: NotRequired[float]
    pruned_after: NotRequired[int]


@dataclass
class TrialRecord:
    """Record of one trial.

    Attributes:
        trial_id: Identifier, as in keras-tuner.
        status: Status, as in keras-tuner, or "PRUNED" for a completed trial that was stopped early.
        values: Values of the active hyperparameters, by name.
        score: Value of the objective, or None.
        epochs: (epoch, value) of the objective during training.
        seeds: (seed, value) of the objective.
        metrics: Final metrics, including the number of parameters, milliseconds per step, and seconds.
        message: Reason for failing or pruning.
        seconds: Duration of the trial, or None.
        hyperband_epochs: Epochs of the trial's Hyperband round, or None.
    """

    trial_id: str
    status: str
    values: dict[str, Any]
    score: float | None = None
    epochs: list[tuple[int, float]] = field(default_factory=list)
    seeds: list[tuple[int, float]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    message: str | None = None
    seconds: float | None = None
    hyperband_epochs: int | None = None

    @property
    def complete(self) -> bool:
        """True if the trial has ended with a score."""
        return self.status in ("COMPLETED", "PRUNED") and self.score is not None

    @property
    def failed(self) -> bool:
        """True if the trial has failed."""
        return self.status in ("FAILED", "INVALID")


def read_trial_state(path: Path) -> Config:
    """Return the state of a trial.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If it is damaged.
    """
    state = read_record(path, dict[str, Any], "the record of a trial", non_finite=True)
    with damage_reported(path, "the record of a trial"):
        checked = msgspec.convert(state, TrialState)
        hyperparameters = check_space(state["hyperparameters"])
        check_trial_id(checked["trial_id"])
        if checked["status"] != "FAILED":
            _check_values(hyperparameters)
        if checked["status"] == "COMPLETED" and (checked["score"] is None or math.isnan(checked["score"])):
            raise ValueError(f"a completed trial must have a score, got {checked['score']}")
        if path.parent.name != f"trial_{checked['trial_id']}":
            raise ValueError(f"it is the record of trial {checked['trial_id']}")
    return state


def check_space(state: Config) -> HyperParameters:
    """Return the hyperparameters in `state`; raise an error if keras-tuner does not restore or sample them."""
    from deeprnn_keras.tuning.keras_tuner_import import keras_tuner

    hyperparameters = keras_tuner.HyperParameters.from_config(copy.deepcopy(state))
    for hyperparameter in hyperparameters.space:
        hyperparameter.random_sample(0)
    return hyperparameters


def _check_values(hyperparameters: HyperParameters) -> None:
    """Raise an error if an active hyperparameter has no value, or one that is far outside its range.

    Values at a bound may be outside the range because values are rounded.
    """
    for hyperparameter in filter(hyperparameters.is_active, hyperparameters.space):
        value = hyperparameters.values[hyperparameter.name]
        if not -1 <= hyperparameter.value_to_prob(value) <= 2:
            raise ValueError(f"{value!r} is outside the range of {hyperparameter}")


def check_trial_id(trial_id: str) -> None:
    """Raise a ValueError if `trial_id`, which becomes part of a path, is not a number."""
    if not re.fullmatch(r"\d{1,20}", trial_id, re.ASCII):
        raise ValueError(f"a trial id must be a number, got {trial_id[:40]!r}")


def first_failure(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the record of the first failed trial if all trials have failed; otherwise None."""
    records = list(records)
    return records[0] if records and all(record.failed for record in records) else None


def read_trials(directory: PathLike, objective: str) -> list[TrialRecord]:
    """Return the records of a search, sorted by trial ID; unreadable records are omitted.

    Args:
        directory: Directory of the search: keras-tuner's `directory/project_name`.
        objective: Name of the objective.
    """
    records = []
    for path in sorted(Path(directory).glob(f"trial_*/{TRIAL_FILE}")):
        try:
            records.append(_to_record(read_trial_state(path), objective))
        except (FileNotFoundError, DamagedFileError):
            continue
    return records


def _to_record(state: dict[str, Any], objective: str) -> TrialRecord:
    metrics = {
        name: [(point["step"], point["value"]) for point in history["observations"]]
        for name, history in state["metrics"]["metrics"].items()
    }
    values = state["hyperparameters"]["values"]
    objective_names = {objective, EPOCH_PREFIX + objective, SEED_PREFIX + objective}
    pruned = state.get("pruned_after") is not None and state["status"] == "COMPLETED"
    return TrialRecord(
        state["trial_id"],
        "PRUNED" if pruned else state["status"],
        {name: value for name, value in values.items() if not name.startswith(TUNER_PREFIX)},
        state["score"],
        [(step, _mean(value)) for step, value in metrics.get(EPOCH_PREFIX + objective, [])],
        [(step, _mean(value)) for step, value in metrics.get(SEED_PREFIX + objective, [])],
        {name: _mean(points[-1][1]) for name, points in metrics.items() if name not in objective_names},
        state["message"],
        state.get("seconds"),
        values.get("tuner/epochs"),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
