"""`StudyTuner`: a search that workers on any number of machines share through an Optuna storage."""

from __future__ import annotations

import copy
import gc
import json
import math
import shutil
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import keras
import optuna
from optuna.trial import TrialState
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import Config, Logs, PathLike
from deeprnn_keras.locking import DirectoryInUseError
from deeprnn_keras.training.run_description import differences
from deeprnn_keras.tuning import median_stopping, places
from deeprnn_keras.tuning.callbacks import BestWeights, StepTimer
from deeprnn_keras.tuning.hyper_deep_rnn import HyperDeepRNN
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner
from deeprnn_keras.tuning.optuna_engine import suggest_hyperparameters
from deeprnn_keras.tuning.results import SearchResults
from deeprnn_keras.tuning.search_directory import flatten_settings
from deeprnn_keras.tuning.step_time_limit import enable_step_time_limit
from deeprnn_keras.tuning.storages import has_heartbeat, open_storage, outages_named
from deeprnn_keras.tuning.study_records import METRICS, SEED, SEEDS_PREFIX, VALUES, read_study
from deeprnn_keras.tuning.study_samplers import SAMPLERS
from deeprnn_keras.tuning.trial_records import TrialRecord, first_failure

SETTINGS, VERSION, OPTIONS = "settings", "version", "options"  # attributes of the study
POLL_SECONDS = 2.0
NOTICE_SECONDS = 120.0  # of waiting for other workers of a journal file
MAX_CONSECUTIVE_FAILURES = 3
STUDY_SECONDS = 30.0  # a study without settings after this time was left by a killed process
DIRECTIONS = {
    "min": optuna.study.StudyDirection.MINIMIZE,
    "max": optuna.study.StudyDirection.MAXIMIZE,
}
STORAGE_ERRORS = (optuna.exceptions.StorageInternalError, optuna.exceptions.UpdateFinishedTrialError, TimeoutError)
"""Errors during a trial after which its result is not stored: an outage, or a trial that was given away."""


class StudyTuner:
    """Search whose trials are shared, through an Optuna storage, by workers on any number of machines.

    The same script runs on every machine: the first one creates the study, the others join it, and each runs trials
    until all have ended. The trials are numbered in advance: exactly `max_trials` trials end, however many workers
    there are. With a database, the trial of a killed worker returns to the queue after `heartbeat_timeout`; with a
    journal file, `retry_stale` returns it. The trial continues from its checkpoint if the next worker has the same
    `directory`, and starts again otherwise.

    With algorithm="random" and prune=False, the values and the random seed of each trial are functions of `seed` and
    its number, so that the scores are the same with any number of workers on machines of the same kind.

    Args:
        hypermodel: The search space.
        objective: Metric of an epoch to minimize, for example "val_loss", or a `keras_tuner.Objective`.
        max_trials: Number of trials.
        storage: URL of a database ("postgresql://user:password@host/name", "mysql://…", "sqlite:///file"), or path of
            a journal file on a file system that all machines share.
        study: Name of the study in the storage.
        algorithm: "random", or "bayesian" for Optuna's tree-structured Parzen estimator.
        seed: Random seed of samples, initialization, shuffling, and dropout.
        prune: If True, stop a trial that is worse than the median of the others at the same epoch.
        directory: Directory of checkpoints; None for runs/STUDY.
        minutes: Time limit of this worker, after which it starts no trial; None for no limit.
        heartbeat_timeout: Seconds without a heartbeat after which a trial is lost; at least 4.
        about: Further settings that must match, a dictionary of JSON values.
        options: JSON values that a new study stores for `read_options`; they are not compared.

    Attributes:
        study: The Optuna study.

    Raises:
        ImportError: If Optuna or the driver of the database is missing; the message names the extra.
        ValueError: If the study has other settings, or was created by another version of this package; the message
            lists the differences.
        OSError: If the storage does not open; see `open_storage`.

    >>> import numpy as np, tempfile
    >>> from deeprnn_keras.tuning import HyperDeepRNN, tuner
    >>> x, y = np.random.default_rng(0).normal(size=(32, 5, 2)), np.zeros((32, 1))
    >>> hyper = HyperDeepRNN(inputs=2, outputs=1, loss="mse", num_layers=(1, 2), units=(2, 4), cell="rnn")
    >>> folder = tempfile.mkdtemp()
    >>> search = tuner(hyper, algorithm="random", max_trials=2, storage=f"{folder}/journal", study="rnn",
    ...                directory=folder)
    >>> search.search(x, y, validation_data=(x, y), epochs=1, verbose=0)
    >>> len(search.results().rows)
    2
    """

    def __init__(
        self,
        hypermodel: HyperDeepRNN,
        objective: str | keras_tuner.Objective = "val_loss",
        max_trials: int = 10,
        *,
        storage: PathLike,
        study: str,
        algorithm: str = "random",
        seed: int = 0,
        prune: bool = True,
        directory: PathLike | None = None,
        minutes: float | None = None,
        heartbeat_timeout: float = 60.0,
        about: Mapping[str, Any] | None = None,
        options: Config | None = None,
    ) -> None:
        checks.one_of("algorithm", algorithm, SAMPLERS)
        self.hypermodel = hypermodel
        self.objective = keras_tuner.Objective(objective, "min") if isinstance(objective, str) else objective
        self.max_trials = checks.positive_int("max_trials", max_trials)
        self.seed, self.prune = checks.non_negative_int("seed", seed), checks.flag("prune", prune)
        self.directory = Path("runs") / study if directory is None else Path(directory)
        self.deadline = None if minutes is None else time.time() + 60 * checks.positive("minutes", minutes)
        self.storage = storage
        self._storage = open_storage(storage, heartbeat_timeout)
        settings = {
            "algorithm": algorithm,
            "objective": [self.objective.name, self.objective.direction],
            "max_trials": self.max_trials,
            "seed": self.seed,
            "prune": self.prune,
            **hypermodel.describe(),
            **(about or {}),
        }
        with outages_named(storage):
            self.study = _open_study(self._storage, study, self.objective.direction, settings, options)
        self._failures: list[str] = []
        self.study.sampler = SAMPLERS[algorithm](self.seed, self.max_trials)

    # === Search ===
    def search(self, *args: Any, verbose: int = 1, **kwargs: Any) -> None:
        """Run trials until all trials of the study have ended, also those that other workers lose.

        Args:
            *args: Arguments of `HyperDeepRNN.fit`.
            verbose: 1 to print the table of results at the end; 0 for no output.
            **kwargs: Arguments of `HyperDeepRNN.fit`.

        Raises:
            RuntimeError: If all trials have failed, or three consecutive ones of this worker; the message contains the
                first error.
            ConnectionError: If the database fails.
            TimeoutError: If the file system of the journal does not answer.
        """
        self.hypermodel.check_fit_arguments(**kwargs)
        file = self.directory / "step_times.json"
        enable_step_time_limit(self.hypermodel, file, *args, **kwargs)
        with outages_named(self.storage):
            while self.run_trial(*args, **kwargs):
                pass
            first = first_failure(self.records())
        if first is not None:
            raise RuntimeError(f"all trials failed; the first error, of trial {first.trial_id}: {first.message}")
        if verbose:
            from rich.console import Console

            Console().print(self.results().table())

    def run_trial(self, *args: Any, **kwargs: Any) -> bool:
        """Run one trial, after waiting for a lost one if none is in the queue; return False if all trials have ended.

        Args:
            *args: Arguments of `HyperDeepRNN.fit`.
            **kwargs: Arguments of `HyperDeepRNN.fit`.

        Raises:
            RuntimeError: If three consecutive trials of this worker have failed.
        """
        if not self._wait():
            return False
        run = _TrialRun(self, args, kwargs)
        try:
            self.study.optimize(run.objective, n_trials=1, catch=(_TrialFailedError,))
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            if not run.declared_lost():  # by another worker, which trains it now
                raise
        self._failures = [*self._failures, run.failure] if run.failure else []
        if len(self._failures) == MAX_CONSECUTIVE_FAILURES:
            raise RuntimeError(
                f"{MAX_CONSECUTIVE_FAILURES} consecutive trials failed; the first error of these: {self._failures[0]}"
            )
        return True

    def _wait(self) -> bool:
        """Wait until a trial is in the queue; return False if there will be none, or time is up."""
        started_at = time.monotonic()
        while self.deadline is None or time.time() < self.deadline:
            if places.num_waiting(self.study):
                return True
            self._return_lost_trials()
            if not places.num_open(self.study):
                return False
            if places.num_waiting(self.study):
                return True
            if not has_heartbeat(self._storage) and time.monotonic() - started_at > NOTICE_SECONDS:
                self._notice()
                started_at = math.inf
            time.sleep(POLL_SECONDS)
        return False

    def _return_lost_trials(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of this function
            optuna.storages.fail_stale_trials(self.study)
        places.fill(self.study, self.max_trials)

    def _notice(self) -> None:
        """Tell the user that a journal file does not show whether other workers are alive."""
        warnings.warn(
            f"waiting for {places.num_open(self.study)} trials of other workers; a journal file does not show whether "
            "they are alive. If they are not, call retry_stale() (deeprnn tune-worker --retry-stale)",
            stacklevel=2,
        )

    def retry_stale(self) -> int:
        """Return the running trials of all workers to the queue, and return their number.

        Call it if the workers whose trials are still running are dead. A worker that is alive nevertheless notices at
        the end of its current epoch that its trial has been given away, and discards it.
        """
        with outages_named(self.storage):
            running = [trial for trial in places.trials_with_place(self.study) if trial.state == TrialState.RUNNING]
            for trial in running:
                self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            places.fill(self.study, self.max_trials)
        return len(running)

    # === Results ===
    def records(self) -> list[TrialRecord]:
        """Return the records of the trials that run or have ended."""
        return read_study(self.study, self.objective.direction)

    def results(self) -> SearchResults:
        """Return the results so far: rows, a table, and plots (`results().save(directory)`)."""
        return SearchResults(self.records(), self.hypermodel, self.objective)

    # === Training ===
    def repeat(self, trial_id: str, seed: int, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Train the configuration of a trial again with another seed, and add the value to the trial's record.

        Args:
            trial_id: The trial, as in the results.
            seed: Random seed of initialization, shuffling, and dropout.
            *args: Arguments of `HyperDeepRNN.fit`.
            **kwargs: Arguments of `HyperDeepRNN.fit`.

        Returns:
            The metrics of the best epoch, the number of parameters, milliseconds per step, and seconds.
        """
        record = next(record for record in self.records() if record.trial_id == trial_id)
        hp = keras_tuner.HyperParameters()
        hp.values = dict(record.values)
        self.hypermodel.declare(hp)
        metrics = self.train(hp, seed, kwargs.pop("callbacks", None) or (), *args, **kwargs)
        value = metrics[self.objective.name]
        self.study.set_user_attr(f"{SEEDS_PREFIX}{trial_id}", json.dumps([*record.seeds[1:], (seed, value)]))
        return metrics

    def train(
        self,
        hp: keras_tuner.HyperParameters,
        seed: int,
        callbacks: Sequence[keras.callbacks.Callback],
        *args: Any,
        checkpoints: Path | None = None,
        **kwargs: Any,
    ) -> dict[str, float]:
        """Train a configuration once.

        Args:
            hp: The values.
            seed: Random seed of initialization, shuffling, and dropout.
            callbacks: Further callbacks, whose state is part of the checkpoints.
            *args: Arguments of `HyperDeepRNN.fit`.
            checkpoints: Directory of checkpoints, from which an interrupted training continues; None for none.
            **kwargs: Arguments of `HyperDeepRNN.fit`.

        Returns:
            The metrics of the best epoch, the number of parameters, milliseconds per step, and seconds.
        """
        keras.backend.clear_session()
        gc.collect()
        keras.utils.set_random_seed(seed)  # after clear_session, which resets the seed
        model = self.hypermodel.build(hp)
        best, timer = BestWeights(self.objective), StepTimer()
        all_callbacks = [*callbacks, best, timer]
        started_at = time.perf_counter()
        self.hypermodel.fit(hp, model, *args, seed=seed, callbacks=all_callbacks, checkpoints=checkpoints, **kwargs)
        step_time = {} if timer.median_ms is None else {"ms_per_step": timer.median_ms}
        seconds = time.perf_counter() - started_at
        return {**best.metrics(), "num_params": model.count_params(), **step_time, "seconds": seconds}


# === One trial ===
class _TrialFailedError(Exception):
    """End of a trial with an error that its record holds."""


class _TrialRun:
    """One trial of a worker.

    Attributes:
        failure: The error of the trial, or None.
    """

    def __init__(self, tuner: StudyTuner, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.failure: str | None = None
        self._tuner, self._args, self._kwargs = tuner, args, kwargs
        self._trial: optuna.Trial | None = None

    def objective(self, trial: optuna.Trial) -> float:
        """Train the model of a trial and return the objective of its best epoch."""
        tuner, self._trial = self._tuner, trial
        if places.PLACE not in trial.user_attrs:  # another worker took the last waiting trial in the meantime
            raise optuna.TrialPruned
        if places.is_redundant(tuner.study, trial):
            trial.set_user_attr(places.REDUNDANT, True)
            raise optuna.TrialPruned
        hp = self._sample(trial)
        trial.set_user_attr(VALUES, json.dumps(hp.values))
        trial.set_user_attr(SEED, tuner.seed)
        report = _Report(trial, tuner)
        try:
            metrics = self._train(hp, trial, report)
        except STORAGE_ERRORS:
            raise
        except KeyboardInterrupt:
            trial.set_user_attr(places.RETURNED, True)
            raise
        except Exception as error:
            self._end(trial, f"{type(error).__name__}: {error}", traceback.format_exc())
        trial.set_user_attr(METRICS, json.dumps(metrics))
        if report.pruned:
            raise optuna.TrialPruned
        value = metrics[tuner.objective.name]
        if math.isnan(value):
            self._end(trial, f"{tuner.objective.name} was finite in no epoch")
        return value

    def _train(
        self, hp: keras_tuner.HyperParameters, trial: optuna.Trial, report: keras.callbacks.Callback
    ) -> dict[str, float]:
        """Train with checkpoints in the directory of the place, and remove them."""
        directory = self._tuner.directory / "trials" / f"{trial.user_attrs[places.PLACE]:04d}"
        try:
            metrics = self._train_in(directory, hp, report)
        except DirectoryInUseError:  # by a worker that was declared dead and is alive
            directory = directory.with_name(f"{directory.name}-{trial.number}")
            metrics = self._train_in(directory, hp, report)
        shutil.rmtree(directory, ignore_errors=True)  # the results do not depend on what remains
        return metrics

    def _train_in(
        self, directory: Path, hp: keras_tuner.HyperParameters, report: keras.callbacks.Callback
    ) -> dict[str, float]:
        options = copy.deepcopy(self._kwargs)
        callbacks = [*(options.pop("callbacks", None) or []), report]
        return self._tuner.train(hp, self._tuner.seed, callbacks, *self._args, checkpoints=directory, **options)

    def _sample(self, trial: optuna.Trial) -> keras_tuner.HyperParameters:
        """Return the values of a trial; if their model is outside the budget, add a trial that draws others."""
        try:
            return suggest_hyperparameters(self._tuner.hypermodel, trial)
        except optuna.TrialPruned as error:
            if not places.draw_again(self._tuner.study, trial):
                self._end(trial, f"{places.MAX_ATTEMPTS} consecutive samples were {error}")
            trial.set_user_attr(places.MESSAGE, str(error))
            raise

    def _end(self, trial: optuna.Trial, failure: str, details: str = "") -> NoReturn:
        """End the trial as failed; `details` is the traceback, if there is one."""
        self.failure = failure
        trial.set_user_attr(places.MESSAGE, details or failure)
        raise _TrialFailedError(failure)

    def declared_lost(self) -> bool:
        """Return whether another worker has ended the trial, because it took this one for dead."""
        trials = self._tuner.study.get_trials(deepcopy=False)
        return any(places.is_lost(trial) for trial in trials if self._trial and trial.number == self._trial.number)


class _Report(keras.callbacks.Callback):
    """Report the objective after each epoch, and stop a trial that is worse than the median of the others.

    Attributes:
        pruned: True if the trial was stopped.
    """

    def __init__(self, trial: optuna.Trial, tuner: StudyTuner) -> None:
        super().__init__()
        self.pruned = False
        self._trial, self._tuner = trial, tuner
        self._place = str(trial.user_attrs[places.PLACE])
        # those of a killed worker that has run this trial before
        self._values = dict(tuner.study.get_trials(deepcopy=False)[trial.number].intermediate_values)

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        objective = self._tuner.objective
        if not objective.has_value(logs or {}):
            raise ValueError(f"objective must be one of the metrics {sorted(logs or {})}, got {objective.name!r}")
        value = float(objective.get_value(logs))
        if epoch not in self._values:
            self._trial.report(value, epoch)
        self._values[epoch] = value
        if self._tuner.prune and epoch + 1 < self.params["epochs"] and self._is_worse(epoch):
            self.pruned = self.model.stop_training = True

    def _is_worse(self, epoch: int) -> bool:
        """Return whether the trial is worse than the median of the others."""
        sign = -1.0 if self._tuner.objective.direction == "max" else 1.0
        curves = {record.trial_id: record.epochs for record in self._tuner.records()} | {
            self._place: sorted(self._values.items())
        }
        signed = {place: [(step, sign * number) for step, number in curve] for place, curve in curves.items()}
        return median_stopping.should_prune(signed.pop(self._place), signed.values(), epoch)


# === The study ===
def _open_study(
    storage: optuna.storages.BaseStorage, name: str, direction: str, settings: Config, options: Config | None
) -> optuna.Study:
    """Create a study and a waiting trial for each place, or join the study if it exists.

    Raises:
        ValueError: If it has other settings, or was created by another version of this package.
    """
    flat = json.loads(json.dumps(flatten_settings(settings)))
    try:
        study = optuna.create_study(storage=storage, study_name=name, direction=DIRECTIONS[direction])
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(storage=storage, study_name=name)
        different = differences(_attribute(study, SETTINGS), flat)
        if different:
            raise ValueError(
                f"study {name!r} of this storage is another search: {'; '.join(different)}; pass another name"
            ) from None
        return study
    places.fill(study, settings["max_trials"])
    study.set_user_attr(VERSION, version("deeprnn-keras"))
    study.set_user_attr(OPTIONS, json.dumps(options or {}))
    study.set_user_attr(SETTINGS, json.dumps(flat))  # the last one: others wait for it
    return study


def read_options(storage: PathLike, study: str) -> Config | None:
    """Return the `options` of the `StudyTuner` that created a study, or None if there is no such study.

    Args:
        storage: As in `StudyTuner`.
        study: Name of the study.

    Raises:
        ImportError: If Optuna or the driver of the database is missing; the message names the extra.
        ValueError: If the study was created by another version of this package.
        OSError: If the storage does not open; see `open_storage`.
    """
    opened = open_storage(storage)
    with outages_named(storage):
        if study not in optuna.get_all_study_names(opened):
            return None
        return _attribute(optuna.load_study(storage=opened, study_name=study), OPTIONS)


def _attribute(study: optuna.Study, name: str) -> Config:
    """Return an attribute of a study, after its creator has stored all of them, and check its version."""
    waited_until = time.monotonic() + STUDY_SECONDS
    while SETTINGS not in study.user_attrs:
        if time.monotonic() > waited_until:
            raise ValueError(
                f"study {study.study_name!r} of this storage has no settings: it was not created by deeprnn_keras, or "
                "its creator was killed; pass another name"
            )
        time.sleep(POLL_SECONDS / 4)
    created_by, own = study.user_attrs[VERSION], version("deeprnn-keras")
    if created_by != own:
        raise ValueError(
            f"study {study.study_name!r} was created by deeprnn-keras {created_by}, and this worker runs {own}; "
            "install the same version on all machines"
        )
    return json.loads(study.user_attrs[name])
