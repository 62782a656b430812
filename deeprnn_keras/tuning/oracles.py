"""keras-tuner's oracles, made to survive: a kill, a worker that dies, a draw outside the budget."""

import json
import time
import warnings
from pathlib import Path

from deeprnn_keras import _compat
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner
from deeprnn_keras.tuning.median_rule import hopeless
from deeprnn_keras.tuning.ranges import rounded
from deeprnn_keras.tuning.records import EPOCH, LAST, SEED, load_oracle, save_oracle, save_plain, set_aside

RUNNING, IDLE, STOPPED, COMPLETED, FAILED = "RUNNING", "IDLE", "STOPPED", "COMPLETED", "FAILED"
DRAWS = 2_000  # of values outside the budget before the space counts as empty
DAMAGED = "its record is damaged"


class Surviving:
    """What the four algorithms have in common; stands before a keras-tuner oracle among the bases.

    Args:
        feasible: {name: value} -> whether a draw may be tried.
        prune: whether a trial is broken off when it is worse than the median of others at the same step.
        lease: seconds after which a worker that was not heard of counts as dead, and its trial is given to another.
        deadline: time (as of `time.time`) after which no trial begins and running ones are broken off, or None.
        failures: trials in a row that may fail.
        max_trials, options: of the oracle.
    """

    def __init__(self, *, feasible, prune=True, lease=60.0, deadline=None, failures=3, max_trials=None, **options):
        super().__init__(**options, max_consecutive_failed_trials=10**9)  # its own check leaves the lock taken
        self.max_trials = max_trials
        self.feasible, self.prune, self.lease, self.deadline = feasible, prune, lease, deadline
        self.failures, self.ended_early = failures, None
        self._heard = {}  # tuner_id -> when
        self.lost = []  # trials whose records are damaged
        self._notes = {}  # trial_id -> what goes into its record beside what keras-tuner writes
        self.verbose = 0

    # === Draws within the budget ===
    def _random_values(self):
        collisions = 0
        for _ in range(DRAWS):
            values = super()._random_values()
            if values is None or collisions > self._max_collisions:
                return None
            values = {name: rounded(value) for name, value in values.items()}
            if self._duplicate(values):
                collisions += 1
            elif self.feasible(values):
                return values
        warnings.warn(f"{DRAWS:,} draws in a row were outside the budget; the search ends", stacklevel=2)
        return None

    # === Trials ===
    @keras_tuner.synchronized
    def create_trial(self, tuner_id):
        """A trial to run, to run again, or none: IDLE while others run, since theirs may come back."""
        self._hear(tuner_id)
        self._bury()
        if self._over():
            self.tuner_ids.discard(tuner_id)
            return self._no_trial(STOPPED)
        trial = super().create_trial(tuner_id)
        if trial.status == STOPPED and self.ongoing_trials:
            self.tuner_ids.add(tuner_id)
            return self._no_trial(IDLE)
        if trial.status == RUNNING:
            self._begin(trial)
        return trial

    def _no_trial(self, status):
        trial = _compat.tuner_trial()(self.get_space(), status=status)
        trial.hyperparameters.values = {}
        return trial

    def _begin(self, trial):
        """Its figures of an earlier life do not count."""
        trial.metrics = type(trial.metrics)()
        trial.score = trial.message = None
        self._notes[trial.trial_id] = {"began": time.time()}
        self._save_trial(trial)

    def _over(self):
        if self.ended_early is None and self._failing():
            self.ended_early = "failures"
        if self.ended_early is None and self.deadline is not None:
            left = self.deadline - time.time()
            known = sorted(note["seconds"] for note in self._notes.values() if "seconds" in note)
            if left <= 0 or (known and left < known[len(known) // 2] / 2):
                self.ended_early = "deadline"
        return self.ended_early is not None

    def _failing(self):
        ended = [trial_id for trial_id in self.end_order if trial_id not in self.lost]
        last = [self.trials[trial_id].status for trial_id in ended[-self.failures :]]
        return len(last) == self.failures and set(last) == {FAILED}

    @keras_tuner.synchronized
    def update_trial(self, trial_id, metrics, step=0):
        """Notes figures; the answer to a report of an epoch has the status STOPPED if the trial should end."""
        self._hear_of(trial_id)
        if not all(name.startswith((EPOCH, LAST, SEED)) for name in metrics):
            return super().update_trial(trial_id, metrics, step)
        trial = self.trials[trial_id]
        for name, value in metrics.items():
            name = EPOCH + name.removeprefix(LAST) if name.startswith(LAST) else name
            if not trial.metrics.exists(name):
                trial.metrics.register(name, direction=self.objective.direction)
            trial.metrics.update(name, float(value), step=step)
        self._save_trial(trial)
        ends = any(name.startswith(EPOCH) for name in metrics) and self._ends(trial, step)
        return _with_status(trial, STOPPED if ends else RUNNING)

    def _ends(self, trial, step):
        name, sign = EPOCH + self.objective.name, -1 if self.objective.direction == "max" else 1
        reason = None
        if self.deadline is not None and time.time() > self.deadline:
            reason = "the time was up"
        elif self.prune:
            curves = {
                other.trial_id: [(point.step, sign * point.mean()) for point in other.metrics.get_history(name)]
                for other in self.trials.values()
                if other.metrics.exists(name)
            }
            if hopeless(curves.pop(trial.trial_id), curves.values(), step):
                reason = "worse than the median of the others"
        if reason is not None:
            self._notes.setdefault(trial.trial_id, {})["pruned_after"] = int(step)
            trial.message = f"broken off after epoch {step + 1}: {reason}"
        return reason is not None

    @keras_tuner.synchronized
    def end_trial(self, trial):
        """Ends a trial; one that somebody else has ended meanwhile is left as it is."""
        known = self.trials[trial.trial_id]
        if trial.trial_id in self.end_order:
            return
        trial.hyperparameters = known.hyperparameters  # a message has them in another order
        trial.message = trial.message or known.message or self._left_message(trial)
        note = self._notes.setdefault(trial.trial_id, {})
        note["seconds"] = time.time() - note.get("began", time.time())
        super().end_trial(trial)

    def _left_message(self, trial):
        """The traceback of a worker, which a message of keras-tuner's leaves out."""
        path = Path(self._get_trial_dir(trial.trial_id)) / "error.txt"
        return path.read_text(encoding="utf-8") if trial.status != COMPLETED and path.exists() else None

    def get_trial(self, trial_id):
        """A trial; who asks for it is alive."""
        self._hear_of(trial_id)
        return super().get_trial(trial_id)

    # === Workers ===
    def _hear(self, tuner_id):
        self._heard[tuner_id] = time.monotonic()

    def _hear_of(self, trial_id):
        for tuner_id, trial in list(self.ongoing_trials.items()):
            if trial.trial_id == trial_id:
                self._hear(tuner_id)

    def _bury(self):
        """Gives back the trials of workers that were not heard of for a lease."""
        for tuner_id in [name for name, when in self._heard.items() if time.monotonic() - when > self.lease]:
            del self._heard[tuner_id]
            self._tuner_ids.discard(tuner_id)
            trial = self.ongoing_trials.pop(tuner_id, None)
            if trial is not None:
                self._retry_queue.append(trial.trial_id)

    @property
    def tuner_ids(self):
        """The workers; the chief ends when there are none, so those that died must not stay."""
        if hasattr(self, "_heard"):
            self._bury()
        return self._tuner_ids

    @tuner_ids.setter
    def tuner_ids(self, value):
        self._tuner_ids = value

    # === Files ===
    def save(self):
        """The state, whole or not at all."""
        save_oracle(self.get_state(), self._project_dir)

    def _save_trial(self, trial):
        path = Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
        save_plain({**trial.get_state(), **self._notes.get(trial.trial_id, {})}, path)

    def reload(self):
        """Takes a search up: what the state knows of has begun, and what has not ended runs again."""
        state = load_oracle(self._project_dir)
        self.trials = {trial_id: self._stored_trial(trial_id, state) for trial_id in state["start_order"]}
        state["ongoing_trials"] = {}
        self.set_state(state)
        ended = [trial_id for trial_id, trial in self.trials.items() if trial.status in (COMPLETED, FAILED)]
        self.end_order += [trial_id for trial_id in ended if trial_id not in self.end_order]
        self._retry_queue = [trial_id for trial_id in self.start_order if trial_id not in self.end_order][::-1]
        self.lost = [trial_id for trial_id, trial in self.trials.items() if trial.message == DAMAGED]
        self._tried_so_far -= {self._id_to_hash[trial_id] for trial_id in self.lost}
        self.max_trials = self.max_trials and self.max_trials + len(self.lost)

    def _stored_trial(self, trial_id, state):
        path = Path(self._get_trial_dir(trial_id)) / "trial.json"
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            trial = _compat.tuner_trial().from_state(stored)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            set_aside(path)
            space = keras_tuner.HyperParameters.from_config({**state["hyperparameters"], "values": {}})
            trial = _compat.tuner_trial()(space, trial_id, FAILED, DAMAGED)
            save_plain(trial.get_state(), path)
            return trial
        self._notes[trial_id] = {name: stored[name] for name in ("began", "seconds", "pruned_after") if name in stored}
        return trial


def _with_status(trial, status):
    """The trial as an answer; the record itself goes on as it is."""
    answer = type(trial)(trial.hyperparameters, trial.trial_id, status)
    answer.metrics, answer.score, answer.best_step = trial.metrics, trial.score, trial.best_step
    return answer
