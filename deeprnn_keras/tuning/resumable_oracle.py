"""Base of the oracles: resuming after kills, reassigning trials of lost workers, and sampling within the budget."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import override

from deeprnn_keras import _compat
from deeprnn_keras._types import Config
from deeprnn_keras.reading import DamagedFileError, damage_reported
from deeprnn_keras.tuning.hyperparameters import round_value
from deeprnn_keras.tuning.keras_tuner_import import Trial, keras_tuner
from deeprnn_keras.tuning.median_stopping import should_prune
from deeprnn_keras.tuning.search_directory import (
    EXPECTED_ORACLE,
    load_oracle,
    rename_damaged_record,
    save_oracle,
    write_json,
)
from deeprnn_keras.tuning.trial_records import (
    EPOCH_PREFIX,
    LAST_EPOCH_PREFIX,
    SEED_PREFIX,
    TRIAL_FILE,
    read_trial_state,
)

RUNNING, IDLE, STOPPED, COMPLETED, FAILED = "RUNNING", "IDLE", "STOPPED", "COMPLETED", "FAILED"
MAX_REJECTED_SAMPLES = 2_000  # consecutive samples outside the budget after which the search ends
DAMAGED = "the record of the trial is damaged"
# fields of the state that are empty at the start, or repeat arguments, which search.json is compared with
NOT_RESTORED = ("ongoing_trials", "retry_queue", "display", "seed", "num_initial_points", "alpha", "beta")
NOT_RESTORED += ("hyperband_iterations", "max_epochs", "min_epochs", "factor")
EXTRA_FIELDS = ("began", "seconds", "pruned_after")  # added to keras-tuner's record of a trial


class ResumableOracle(keras_tuner.Oracle):
    """Extension of a keras-tuner oracle with resuming, reassignment of trials, budgets, pruning, and a deadline.

    A subclass derives from this class first and then from one of keras-tuner's oracles.

    Args:
        is_feasible: Function from sampled values, a dictionary by name, to whether they are within the budget.
        prune: If True, stop a trial that is worse than the median of the others at the same step.
        heartbeat_timeout: Seconds without a heartbeat after which a worker is considered dead and its trial is
            reassigned.
        deadline: Time, as returned by `time.time`, after which no trial starts and running ones are stopped; or None.
        max_consecutive_failures: Number of consecutive failed trials after which the search ends.
        max_trials: Maximum number of trials, or None.
        **options: Further arguments of keras-tuner's oracle.

    Attributes:
        stop_reason: "failures" or "deadline" if the search has ended early, otherwise None.
        failure: Description of the consecutive failures that have ended the search, or None.
        damaged_trials: IDs of the trials whose records are damaged.
        declared: State of the hyperparameters that were declared in advance, or None if trials declare them.
    """

    # attributes of keras_tuner.Oracle
    objective: keras_tuner.Objective
    trials: dict[str, Trial]
    ongoing_trials: dict[str, Trial]
    start_order: list[str]
    end_order: list[str]
    _retry_queue: list[str]
    _tried_so_far: set[str]
    _tuner_ids: set[str]

    def __init__(
        self,
        *,
        is_feasible: Callable[[dict[str, Any]], bool],
        prune: bool = True,
        heartbeat_timeout: float = 60.0,
        deadline: float | None = None,
        max_consecutive_failures: int = 3,
        max_trials: int | None = None,
        **options: Any,
    ) -> None:
        # disable keras-tuner's own check, which raises an error without releasing the lock of the oracle
        super().__init__(**options, max_consecutive_failed_trials=10**9)
        self.max_trials = max_trials
        self.is_feasible, self.prune = is_feasible, prune
        self.heartbeat_timeout, self.deadline = heartbeat_timeout, deadline
        self.max_consecutive_failures = max_consecutive_failures
        self.stop_reason: str | None = None
        self.failure: str | None = None
        self.damaged_trials: list[str] = []
        self.declared: list[Config] | None = None
        self._last_heartbeats: dict[str, float] = {}  # by tuner ID
        self._extra_fields: dict[str, dict[str, Any]] = {}  # by trial ID
        self.verbose = 0

    # === Samples within the budget ===
    @override
    def _random_values(self) -> dict[str, Any] | None:
        collisions = 0
        for _ in range(MAX_REJECTED_SAMPLES):
            values = super()._random_values()
            if values is None or collisions > self._max_collisions:
                return None
            values = {name: round_value(value) for name, value in values.items()}
            if self._duplicate(values):
                collisions += 1
            elif self.is_feasible(values):
                return values
        warnings.warn(
            f"{MAX_REJECTED_SAMPLES:,} consecutive samples were outside the budget; the search ends", stacklevel=2
        )
        return None

    # === Trials ===
    @override
    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """Return a new trial, a trial to repeat, or an empty one with status IDLE or STOPPED.

        The status is IDLE while other workers run trials, which may have to be reassigned.
        """
        self._last_heartbeats[tuner_id] = time.monotonic()
        self._release_lost_trials()
        if self._should_stop():
            self.tuner_ids.discard(tuner_id)
            return self._empty_trial(STOPPED)
        trial = super().create_trial(tuner_id)
        if trial.status == STOPPED and self.ongoing_trials:
            self.tuner_ids.add(tuner_id)
            return self._empty_trial(IDLE)
        if trial.status == RUNNING:
            self._reset_trial(trial)
        return trial

    def _empty_trial(self, status: str) -> Trial:
        trial = _compat.tuner_trial()(self.get_space(), status=status)
        trial.hyperparameters.values = {}
        return trial

    def _reset_trial(self, trial: Trial) -> None:
        """Remove the metrics of an interrupted execution of the trial."""
        trial.metrics = type(trial.metrics)()
        trial.score = trial.message = None
        self._extra_fields[trial.trial_id] = {"began": time.time()}
        self._save_trial(trial)

    def _should_stop(self) -> bool:
        if self.stop_reason is None and (failure := self._consecutive_failures()) is not None:
            self.stop_reason, self.failure = "failures", failure
            self.save()  # workers read it from the file
        if self.stop_reason is None and self.deadline is not None:
            remaining = self.deadline - time.time()
            durations = sorted(fields["seconds"] for fields in self._extra_fields.values() if "seconds" in fields)
            if remaining <= 0 or (durations and remaining < durations[len(durations) // 2] / 2):
                self.stop_reason = "deadline"
        return self.stop_reason is not None

    def _consecutive_failures(self) -> str | None:
        """Return a description of the last trials if too many of them in a row have failed, otherwise None."""
        ended = [self.trials[trial_id] for trial_id in self.end_order if trial_id not in self.damaged_trials]
        last = ended[-self.max_consecutive_failures :]
        if len(last) < self.max_consecutive_failures or {trial.status for trial in last} != {FAILED}:
            return None
        return f"{len(last)} consecutive trials failed; the first error of these: {last[0].message}"

    @override
    @keras_tuner.synchronized
    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Trial:
        """Record metrics and return the trial, with status STOPPED if an epoch was reported and the trial is pruned."""
        self._record_heartbeat(trial_id)
        if not all(name.startswith((EPOCH_PREFIX, LAST_EPOCH_PREFIX, SEED_PREFIX)) for name in metrics):
            return super().update_trial(trial_id, metrics, step)
        trial = self.trials[trial_id]
        for name, value in metrics.items():
            if name.startswith(LAST_EPOCH_PREFIX):
                name = EPOCH_PREFIX + name.removeprefix(LAST_EPOCH_PREFIX)
            if not trial.metrics.exists(name):
                trial.metrics.register(name, direction=self.objective.direction)
            trial.metrics.update(name, float(value), step=step)
        self._save_trial(trial)
        reported_epoch = any(name.startswith(EPOCH_PREFIX) for name in metrics)
        return _with_status(trial, STOPPED if reported_epoch and self._prune_trial(trial, step) else RUNNING)

    def _prune_trial(self, trial: Trial, step: int) -> bool:
        """Return whether to stop the trial; if so, record the reason."""
        name, sign = EPOCH_PREFIX + self.objective.name, -1 if self.objective.direction == "max" else 1
        reason = None
        if self.deadline is not None and time.time() > self.deadline:
            reason = "time limit reached"
        elif self.prune:
            curves = {
                other.trial_id: [(point.step, sign * point.mean()) for point in other.metrics.get_history(name)]
                for other in self.trials.values()
                if other.metrics.exists(name)
            }
            if should_prune(curves.pop(trial.trial_id), curves.values(), step):
                reason = "worse than the median of the other trials"
        if reason is not None:
            self._extra_fields.setdefault(trial.trial_id, {})["pruned_after"] = int(step)
            trial.message = f"pruned after epoch {step + 1}: {reason}"
        return reason is not None

    @override
    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """End a trial, unless another worker has ended it in the meantime."""
        known_trial = self.trials[trial.trial_id]
        if trial.trial_id in self.end_order:
            return
        trial.hyperparameters = known_trial.hyperparameters  # gRPC messages reorder them
        trial.message = trial.message or known_trial.message or self._error_of_worker(trial)
        fields = self._extra_fields.setdefault(trial.trial_id, {})
        fields["seconds"] = time.time() - fields.get("began", time.time())
        super().end_trial(trial)

    def _error_of_worker(self, trial: Trial) -> str | None:
        """Return the traceback that a worker stored: keras-tuner's gRPC messages omit it."""
        path = Path(self._get_trial_dir(trial.trial_id)) / "error.txt"
        return path.read_text(encoding="utf-8") if trial.status != COMPLETED and path.exists() else None

    @override
    def get_trial(self, trial_id: str) -> Trial:
        """Return a trial; the call is also the heartbeat of the worker that runs it."""
        self._record_heartbeat(trial_id)
        return super().get_trial(trial_id)

    # === Workers ===
    def _record_heartbeat(self, trial_id: str) -> None:
        for tuner_id, trial in list(self.ongoing_trials.items()):
            if trial.trial_id == trial_id:
                self._last_heartbeats[tuner_id] = time.monotonic()

    def _release_lost_trials(self) -> None:
        """Reassign the trials of all workers whose heartbeat has timed out: queue them to be repeated."""
        now = time.monotonic()
        for tuner_id in [name for name, at in self._last_heartbeats.items() if now - at > self.heartbeat_timeout]:
            del self._last_heartbeats[tuner_id]
            self._tuner_ids.discard(tuner_id)
            trial = self.ongoing_trials.pop(tuner_id, None)
            if trial is not None:
                self._retry_queue.append(trial.trial_id)

    @property
    def tuner_ids(self) -> set[str]:
        """IDs of the live workers. The chief exits when there are none, so dead workers must be removed."""
        if hasattr(self, "_last_heartbeats"):
            self._release_lost_trials()
        return self._tuner_ids

    @tuner_ids.setter
    def tuner_ids(self, value: set[str]) -> None:
        self._tuner_ids = value

    # === Files ===
    @override
    def save(self) -> None:
        save_oracle({**self.get_state(), "failure": self.failure}, self._project_dir)

    @override
    def _save_trial(self, trial: Trial) -> None:
        path = Path(self._get_trial_dir(trial.trial_id)) / TRIAL_FILE
        write_json({**trial.get_state(), **self._extra_fields.get(trial.trial_id, {})}, path)

    @override
    def reload(self) -> None:
        """Resume a search; trials that have started but not ended are repeated."""
        path, state = load_oracle(self._project_dir, self.check_state)
        self.trials = {trial_id: self._load_trial(trial_id, state) for trial_id in state["start_order"]}
        state |= {name: value for name, value in self.get_state().items() if name in NOT_RESTORED}
        with damage_reported(path, EXPECTED_ORACLE):
            self.set_state(state)
        ended = [trial_id for trial_id, trial in self.trials.items() if trial.status in (COMPLETED, FAILED)]
        self.end_order += [trial_id for trial_id in ended if trial_id not in self.end_order]
        self._retry_queue = [trial_id for trial_id in self.start_order if trial_id not in self.end_order][::-1]
        self.damaged_trials = [trial_id for trial_id, trial in self.trials.items() if trial.message == DAMAGED]
        self._tried_so_far -= {self._id_to_hash[trial_id] for trial_id in self.damaged_trials}
        self.max_trials = self.max_trials and self.max_trials + len(self.damaged_trials)

    def check_state(self, state: Config) -> None:
        """Raise an error if the oracle does not support a state, whose common fields are checked already."""
        self._check_declared(state)

    def check_trial(self, state: Config) -> None:
        """Raise an error if the oracle does not support the record of a trial, which is checked already."""
        self._check_declared(state)

    def _check_declared(self, state: Config) -> None:
        if self.declared is not None and state["hyperparameters"]["space"][: len(self.declared)] != self.declared:
            raise ValueError("its hyperparameters are not those of the search")

    def _load_trial(self, trial_id: str, oracle_state: Config) -> Trial:
        path = Path(self._get_trial_dir(trial_id)) / TRIAL_FILE
        try:
            state = read_trial_state(path)
            with damage_reported(path, "the record of a trial"):
                self.check_trial(state)
                trial = _compat.tuner_trial().from_state(copy.deepcopy(state))  # keras-tuner modifies the state
        except (FileNotFoundError, DamagedFileError) as error:
            rename_damaged_record(path, error)
            config = copy.deepcopy({**oracle_state["hyperparameters"], "values": {}})
            trial = _compat.tuner_trial()(keras_tuner.HyperParameters.from_config(config), trial_id, FAILED, DAMAGED)
            write_json(trial.get_state(), path)
            return trial
        self._extra_fields[trial_id] = {name: state[name] for name in EXTRA_FIELDS if name in state}
        return trial


def _with_status(trial: Trial, status: str) -> Trial:
    """Return a copy of the trial with another status, as an answer to a worker."""
    answer = type(trial)(trial.hyperparameters, trial.trial_id, status)
    answer.metrics, answer.score, answer.best_step = trial.metrics, trial.score, trial.best_step
    return answer
