"""Records of trials, as read from the directory of a search."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deeprnn_keras._types import PathLike

TRIAL_FILE = "trial.json"
EPOCH_PREFIX, LAST_EPOCH_PREFIX, SEED_PREFIX = "epoch/", "last/", "seed/"  # prefixes of the metrics of a running trial
TUNER_PREFIX = "tuner/"  # prefix of the entries that Hyperband adds to the values


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


def read_trials(directory: PathLike, objective: str) -> list[TrialRecord]:
    """Return the records of a search, sorted by trial ID; unreadable records are omitted.

    Args:
        directory: Directory of the search: keras-tuner's `directory/project_name`.
        objective: Name of the objective.
    """
    records = []
    for path in sorted(Path(directory).glob(f"trial_*/{TRIAL_FILE}")):
        try:
            records.append(_to_record(json.loads(path.read_text(encoding="utf-8")), objective))
        except (OSError, ValueError, KeyError):
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
