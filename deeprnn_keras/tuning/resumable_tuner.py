"""Base of the tuners: a keras-tuner `Tuner` with a resumable oracle, seeded trials, and exact Hyperband promotions."""

from __future__ import annotations

import copy
import gc
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import PathLike
from deeprnn_keras.locking import DirectoryLock
from deeprnn_keras.tuning.callbacks import BestWeights, ContinueTrial, ReportObjective, StepTimer, StopAfterEpoch
from deeprnn_keras.tuning.heartbeat import Heartbeat
from deeprnn_keras.tuning.keras_tuner_import import Trial, keras_tuner
from deeprnn_keras.tuning.oracles import ORACLES
from deeprnn_keras.tuning.results import SearchResults
from deeprnn_keras.tuning.search_directory import ORACLE_FILE, check_settings, load_oracle
from deeprnn_keras.tuning.step_time_limit import enable_step_time_limit
from deeprnn_keras.tuning.trial_records import SEED_PREFIX, TrialRecord, first_failure, read_trials
from deeprnn_keras.tuning.workers import exit_with_parent, fail_with_trials, is_worker, request_restart_after

if TYPE_CHECKING:
    from deeprnn_keras.tuning.resumable_oracle import ResumableOracle

IDLE_SECONDS = 1.0
STATE_DIRECTORY = "state"


class ResumableTuner(keras_tuner.Tuner):
    """Base of the four tuners. A search that was killed is resumed by running the same script again.

    Args:
        hypermodel: A `HyperDeepRNN`, or any `keras_tuner.HyperModel`.
        objective: Metric of an epoch, for example "val_loss", or a `keras_tuner.Objective`.
        max_trials: Maximum number of trials; None for no limit (with `GridSearch`: all combinations).
        seed: Random seed of samples, initialization, shuffling, and dropout. All trials start from the same seed, so
            that they are comparable.
        executions_per_trial: Number of runs of each configuration, with consecutive seeds.
        directory: Parent directory of the search.
        project_name: Name of the directory of the search.
        overwrite: If True, discard an existing search in the directory instead of resuming it.
        prune: If True, stop a trial that is worse than the median of the others at the same epoch; ignored by
            `Hyperband`.
        minutes: Time limit, after which no trial starts and running ones stop after their current epoch; None for no
            limit.
        heartbeat_timeout: Seconds without a heartbeat after which a worker is considered dead and its trial is
            reassigned.
        about: Further settings that must match when resuming, a dictionary of JSON values.
        **oracle_options: Further arguments of keras-tuner's oracle, for example `num_initial_points` or `factor`.

    Raises:
        ValueError: If the directory holds a search with other settings; the message lists the differences.
    """

    algorithm: str
    oracle: ResumableOracle
    project_dir: str
    executions_per_trial: int
    max_epochs: int

    def __init__(
        self,
        hypermodel: keras_tuner.HyperModel,
        objective: str | keras_tuner.Objective = "val_loss",
        max_trials: int | None = 10,
        *,
        seed: int | None = 0,
        executions_per_trial: int = 1,
        directory: PathLike = "runs",
        project_name: str = "search",
        overwrite: bool = False,
        prune: bool = True,
        minutes: float | None = None,
        heartbeat_timeout: float = 60.0,
        about: Mapping[str, Any] | None = None,
        **oracle_options: Any,
    ) -> None:
        if max_trials is not None:
            checks.positive_int("max_trials", max_trials)
        self.seed = checks.seed("seed", seed) or 0
        overwrite, prune = checks.flags(overwrite=overwrite, prune=prune)
        self.max_trials = max_trials
        self._idle, self._num_trials = False, 0
        self._heartbeat: Heartbeat | None = None
        oracle = ORACLES[self.algorithm](
            is_feasible=getattr(hypermodel, "is_feasible", lambda values: True),
            objective=objective,
            max_trials=max_trials,
            seed=self.seed + 1,  # keras-tuner replaces 0 by a random seed
            prune=prune and self.algorithm != "hyperband",
            heartbeat_timeout=checks.positive("heartbeat_timeout", heartbeat_timeout),
            deadline=None if minutes is None else time.time() + 60 * checks.positive("minutes", minutes),
            **self._oracle_options(oracle_options),
        )
        settings = {
            "algorithm": self.algorithm,
            "objective": [oracle.objective.name, oracle.objective.direction],
            "seed": self.seed,
            "executions_per_trial": checks.positive_int("executions_per_trial", executions_per_trial),
            **{name: str(value) for name, value in oracle_options.items()},
            **(hypermodel.describe() if hasattr(hypermodel, "describe") else {"model": type(hypermodel).__name__}),
            **(about or {}),
        }
        project_directory = Path(directory) / project_name
        if not is_worker() and not overwrite:
            check_settings(project_directory, settings)
        with redirect_stdout(StringIO()):  # suppresses "Reloading Tuner from ..."
            super().__init__(
                oracle=oracle,
                hypermodel=hypermodel,
                directory=str(directory),
                project_name=project_name,
                overwrite=overwrite and not is_worker(),
                executions_per_trial=executions_per_trial,
            )
        if overwrite and not is_worker():
            check_settings(project_directory, settings)

    def _oracle_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the oracle's arguments: those that the user has passed, and defaults of the algorithm."""
        return options

    # === Files ===
    # keras-tuner names this file after the process, and so does not find a search that another process has started
    @override
    def _get_tuner_fname(self) -> str:
        return str(Path(self.directory) / self.project_name / ORACLE_FILE)

    @override
    def save(self) -> None:
        """Write the state of the oracle; a worker has none."""
        if not is_worker():
            self.oracle.save()

    @override
    def reload(self) -> None:
        if not is_worker():
            declared = self._declared_space()
            self.oracle.declared = declared and declared.get_config()["space"]
            self.oracle.reload()

    @override
    def _populate_initial_space(self) -> None:
        """Declare all hyperparameters, without building models if the hypermodel supports it."""
        declared = self._declared_space()
        if declared is None:
            super()._populate_initial_space()
        else:
            self.oracle.update_space(declared)

    def _declared_space(self) -> keras_tuner.HyperParameters | None:
        """Return the hyperparameters, or None if the hypermodel declares them only when it builds models."""
        if not hasattr(self.hypermodel, "declare"):
            return None
        space = self.oracle.get_space()
        self.hypermodel.declare(space)
        return space

    # === Search ===
    @override
    def search(self, *args: Any, verbose: int = 1, **kwargs: Any) -> None:
        """Run the remaining trials. Ctrl-C and kills lose only the running trials.

        Args:
            *args: Arguments of `HyperDeepRNN.fit`.
            verbose: 1 to show a progress bar, a line per trial, and a final table; 0 for no output.
            **kwargs: Arguments of `HyperDeepRNN.fit`.

        Raises:
            RuntimeError: If all trials or several consecutive ones fail; the message contains the first error.
            ValueError: If another process runs this search, or `HyperDeepRNN.fit` does not support an argument.
        """
        getattr(self.hypermodel, "check_fit_arguments", lambda **arguments: None)(**kwargs)
        exit_with_parent()
        with nullcontext() if is_worker() else DirectoryLock(self.project_dir):
            if not is_worker():
                enable_step_time_limit(self.hypermodel, Path(self.project_dir) / "step_times.json", *args, **kwargs)
            with self._progress(verbose):
                super().search(*args, **kwargs)
        fail_with_trials(self._failure())
        if self._shows_output(verbose):
            self.results_summary()

    def _failure(self) -> str | None:
        """Return the reason for which the search has failed, or None."""
        first = first_failure(read_trials(self.project_dir, self.oracle.objective.name))
        if first is not None:
            return f"all trials failed; the first error, of trial {first.trial_id}: {first.message}"
        if not is_worker():
            return self.oracle.failure
        shared = (Path(self.project_dir) / ORACLE_FILE).exists()  # by the chief and this worker
        return load_oracle(self.project_dir)[1].get("failure") if shared else None

    def _shows_output(self, verbose: int) -> bool:
        return bool(verbose) and hasattr(self.hypermodel, "resolve") and "KERASTUNER_TUNER_ID" not in os.environ

    def _progress(self, verbose: int) -> AbstractContextManager[object]:
        if not self._shows_output(verbose):
            return nullcontext()
        from rich.console import Console

        from deeprnn_keras.tuning.progress import SearchProgress

        deadline = self.oracle.deadline
        return SearchProgress(Console(), self._records, self._results_of, self.max_trials, deadline=deadline)

    def _records(self) -> list[TrialRecord]:
        return read_trials(self.project_dir, self.oracle.objective.name)

    def _results_of(self, records: Sequence[TrialRecord]) -> SearchResults:
        return SearchResults(records, self.hypermodel, self.oracle.objective)

    def results(self) -> SearchResults:
        """Return the results so far: rows, a table, and plots (`results().save(directory)`)."""
        return self._results_of(self._records())

    @override
    def results_summary(self, num_trials: int = 10) -> None:
        """Print a table of the best trials."""
        from rich.console import Console

        Console().print(self.results().table(num_trials))

    # === Trials ===
    @override
    def pre_create_trial(self) -> None:
        """Pause if the last request returned no trial, and restart a worker that has run many trials."""
        if self._idle:
            time.sleep(IDLE_SECONDS)
        self._idle = True
        if is_worker():
            request_restart_after(self._num_trials)

    @override
    def on_trial_begin(self, trial: Trial) -> None:
        self._idle, self._num_trials = False, self._num_trials + 1
        self._heartbeat = Heartbeat(self.oracle, trial.trial_id) if is_worker() else None

    @override
    def on_trial_end(self, trial: Trial) -> None:
        """End the trial. A worker stores its traceback in a file, since keras-tuner's gRPC messages omit it."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
            if trial.message:
                (Path(self.get_trial_dir(trial.trial_id)) / "error.txt").write_text(trial.message, encoding="utf-8")
        super().on_trial_end(trial)

    @override
    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> list[dict[str, float]]:
        """Train a trial's configuration with one or several seeds; return the metrics of each run."""
        callbacks = kwargs.pop("callbacks", None) or []
        return [
            self.train(trial, self.seed + number, copy.deepcopy(callbacks), *args, first=number == 0, **kwargs)
            for number in range(self.executions_per_trial)
        ]

    def train(
        self,
        trial: Trial,
        seed: int,
        callbacks: Sequence[keras.callbacks.Callback],
        *args: Any,
        first: bool = True,
        **kwargs: Any,
    ) -> dict[str, float]:
        """Train a trial's configuration once.

        Args:
            trial: The trial.
            seed: Random seed of initialization, shuffling, and dropout.
            callbacks: Further callbacks.
            *args: Arguments of `HyperDeepRNN.fit`.
            first: True if this is the trial's first run, whose epochs are reported and whose weights are saved.
            **kwargs: Arguments of `HyperDeepRNN.fit`.

        Returns:
            The metrics of the best epoch, the number of parameters, milliseconds per step, and seconds.
        """
        values = trial.hyperparameters.values
        keras.backend.clear_session()
        gc.collect()
        keras.utils.set_random_seed(seed)  # after clear_session, which resets the seed
        model = self.hypermodel.build(trial.hyperparameters)
        best, timer = BestWeights(self.oracle.objective), StepTimer()
        trial_callbacks: list[keras.callbacks.Callback] = []
        if first:
            trial_callbacks.append(ReportObjective(self.oracle, trial.trial_id, values.get("tuner/epochs")))
        if "tuner/epochs" in values:
            trial_callbacks.append(self._hyperband_callback(trial, first, kwargs))
        if hasattr(self.hypermodel, "space"):
            kwargs["seed"] = seed
        started_at = time.perf_counter()
        all_callbacks = [*callbacks, *trial_callbacks, best, timer]
        self.hypermodel.fit(trial.hyperparameters, model, *args, callbacks=all_callbacks, **kwargs)
        if first:
            best.save(self._get_checkpoint_fname(trial.trial_id))
        self.oracle.update_trial(trial.trial_id, {SEED_PREFIX + self.oracle.objective.name: best.value}, step=seed)
        step_time = {} if timer.median_ms is None else {"ms_per_step": timer.median_ms}
        seconds = time.perf_counter() - started_at
        return {**best.metrics(), "num_params": model.count_params(), **step_time, "seconds": seconds}

    def _hyperband_callback(self, trial: Trial, first: bool, fit_options: dict[str, Any]) -> keras.callbacks.Callback:
        """Return the callback of a Hyperband round, and set the first and last epoch in `fit_options`."""
        values = trial.hyperparameters.values
        fit_options["epochs"], num_epochs = self.max_epochs, values["tuner/epochs"]
        if not first:
            return StopAfterEpoch(num_epochs)
        previous = values.get("tuner/trial_id")
        callback = ContinueTrial(
            Path(self.get_trial_dir(previous)) / STATE_DIRECTORY if previous else None,
            Path(self.get_trial_dir(trial.trial_id)) / STATE_DIRECTORY,
            num_epochs,
        )
        if callback.checkpoint:
            fit_options["initial_epoch"] = values["tuner/initial_epoch"]
        return callback

    def repeat(self, trial_id: str, seed: int, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Train the configuration of a trial again with another seed, and add the value to the trial's record.

        Args:
            trial_id: The trial.
            seed: Random seed of initialization, shuffling, and dropout.
            *args: Arguments of `HyperDeepRNN.fit`.
            **kwargs: Arguments of `HyperDeepRNN.fit`.

        Returns:
            The metrics of the best epoch, the number of parameters, milliseconds per step, and seconds.
        """
        return self.train(self.oracle.trials[trial_id], seed, [], *args, first=False, **kwargs)
