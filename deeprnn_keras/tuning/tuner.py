"""`DeepTuner`: keras-tuner's tuner with an oracle that survives, seeded trials and exact promotions."""

import copy
import gc
import os
import time
from contextlib import nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path

import keras

from deeprnn_keras import checks
from deeprnn_keras.training.step_time import first_batch
from deeprnn_keras.tuning.algorithms import ORACLES
from deeprnn_keras.tuning.callbacks import BestWeights, Continue, EpochReport, Rung, StepClock
from deeprnn_keras.tuning.heartbeat import Heartbeat, is_worker
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner
from deeprnn_keras.tuning.records import ORACLE, SEED, check_search, held, read_trials
from deeprnn_keras.tuning.results import SearchResults
from deeprnn_keras.tuning.workers import end_with_parent, start_afresh

IDLE_SECONDS = 1.0
STATE = "state"


class DeepTuner(keras_tuner.Tuner):
    """A search that can be killed and run again: what the four tuners have in common.

    Args:
        hypermodel: a `HyperDeepRNN`, or any `keras_tuner.HyperModel`.
        objective: a metric of the history, such as "val_loss", or a `keras_tuner.Objective`.
        max_trials: how many configurations are tried; with `GridSearch` None for all.
        seed: of draws, weights, order and dropout; every trial begins with it, so that they are compared alike.
        executions_per_trial: trainings of each configuration, with the seeds that follow.
        directory, project_name: of the directory that holds the search.
        overwrite: begin anew in a directory that holds a search; else it goes on.
        prune: break off a trial that is worse than the median of the others at the same epoch (not with `Hyperband`).
        minutes: no trial begins when they are over, and those that run end with their epoch; None: no limit.
        lease: seconds without a word after which a worker counts as dead.
        about: more that tells this search from others, a dictionary of plain values.
        oracle: further arguments of keras-tuner's oracle, such as `num_initial_points`, `max_epochs` or `factor`.

    Raises:
        ValueError: for a directory that holds another search, naming the difference.
    """

    algorithm = None

    def __init__(
        self,
        hypermodel,
        objective="val_loss",
        max_trials=10,
        *,
        seed=0,
        executions_per_trial=1,
        directory="runs",
        project_name="search",
        overwrite=False,
        prune=True,
        minutes=None,
        lease=60.0,
        about=None,
        **oracle,
    ):
        if max_trials is not None:
            checks.positive_int("max_trials", max_trials)
        self.seed = checks.seed("seed", seed) or 0
        self.max_trials, self._idle, self._run = max_trials, False, 0
        feasible = getattr(hypermodel, "feasible", lambda values: True)
        deadline = None if minutes is None else time.time() + 60 * checks.positive("minutes", minutes)
        options = {"prune": prune and self.algorithm != "hyperband", "lease": lease, "deadline": deadline}
        made = ORACLES[self.algorithm](
            feasible=feasible,
            objective=objective,
            max_trials=max_trials,
            seed=self.seed + 1,  # to keras-tuner 0 is no seed
            **options,
            **self._oracle_options(oracle),
        )
        search = {
            "algorithm": self.algorithm,
            "objective": [made.objective.name, made.objective.direction],
            "seed": self.seed,
            "executions_per_trial": checks.positive_int("executions_per_trial", executions_per_trial),
            **{name: str(value) for name, value in oracle.items()},
            **(hypermodel.describe() if hasattr(hypermodel, "describe") else {"model": type(hypermodel).__name__}),
            **(about or {}),
        }
        project_directory = Path(directory) / project_name
        if not is_worker() and not overwrite:
            check_search(project_directory, search)
        with redirect_stdout(StringIO()):  # "Reloading Tuner from ..."
            super().__init__(
                oracle=made,
                hypermodel=hypermodel,
                directory=str(directory),
                project_name=project_name,
                overwrite=overwrite and not is_worker(),
                executions_per_trial=executions_per_trial,
            )
        if overwrite and not is_worker():
            check_search(project_directory, search)

    def _oracle_options(self, given):
        return given

    # === Files: keras-tuner goes by a file of each process and loses a search that another began ===
    def _get_tuner_fname(self):
        return str(Path(self.directory) / self.project_name / ORACLE)

    def save(self):
        """Writes the oracle's state; a worker has none."""
        if not is_worker():
            self.oracle.save()

    def reload(self):
        """Takes a search up."""
        if not is_worker():
            self.oracle.reload()

    def _populate_initial_space(self):
        """Enters all hyper-parameters without building models, where the hypermodel can."""
        if not hasattr(self.hypermodel, "declare"):
            super()._populate_initial_space()
            return
        space = self.oracle.get_space()
        self.hypermodel.declare(space)
        self.oracle.update_space(space)

    # === The search ===
    def search(self, *args, verbose=1, **kwargs):
        """Runs the trials that are left; arguments as of `HyperDeepRNN.fit`. Ctrl-C and kills lose nothing.

        Args:
            verbose: 1: shows trials done, the best so far and the time left, and at the end a table; 0: nothing.

        Raises:
            RuntimeError: if trials in a row fail, with what the last one said.
            ValueError: if another process runs this search.
        """
        end_with_parent()
        with nullcontext() if is_worker() else held(self.project_dir):
            self._look_at(*args, **kwargs)
            with self._progress(verbose):
                super().search(*args, **kwargs)
        if getattr(self.oracle, "ended_early", None) == "failures":
            last = self.oracle.trials[self.oracle.end_order[-1]]
            raise RuntimeError(f"{self.oracle.failures} trials in a row failed; the last one: {last.message}")
        if self._shows(verbose):
            self.results_summary()

    def _shows(self, verbose):
        return verbose and hasattr(self.hypermodel, "resolve") and "KERASTUNER_TUNER_ID" not in os.environ

    def _progress(self, verbose):
        if not self._shows(verbose):
            return nullcontext()
        from rich.console import Console

        from deeprnn_keras.tuning.progress import SearchProgress

        name, deadline = self.oracle.objective.name, self.oracle.deadline
        return SearchProgress(Console(), self.project_dir, self._results_of, name, self.max_trials, deadline=deadline)

    def _results_of(self, records):
        return SearchResults(records, self.hypermodel, self.oracle.objective)

    def results(self):
        """Return the results so far, `SearchResults`: rows, table, pictures (`results().save(directory)`)."""
        return self._results_of(read_trials(self.project_dir, self.oracle.objective.name))

    def results_summary(self, num_trials=10):
        """Prints the table of the best trials."""
        from rich.console import Console

        Console().print(self.results().table(num_trials))

    def _look_at(self, x=None, y=None, sample_weight=None, **options):
        """Measures steps on the training data where the budget asks for it."""
        budget = getattr(self.hypermodel, "budget", None)
        if x is None or budget is None or budget.max_step_ms is None or is_worker():
            return
        from deeprnn_keras.tuning.fitting import training_data

        recipe = self.hypermodel.model.recipe
        x, y, sample_weight, _ = training_data(x, y, sample_weight, options.get("batch_size"), 0, recipe)
        self.hypermodel.time_steps(first_batch(x, y, sample_weight), Path(self.project_dir) / "step_times.json")

    def pre_create_trial(self):
        """Does not ask a busy chief again at once; a worker that has run many trials makes room."""
        if self._idle:
            time.sleep(IDLE_SECONDS)
        self._idle = True
        if is_worker():
            start_afresh(self._run)

    def on_trial_begin(self, trial):
        """Lets the chief know that this worker lives."""
        self._idle, self._run = False, self._run + 1
        self._beat = Heartbeat(self.oracle, trial.trial_id) if is_worker() else None

    def on_trial_end(self, trial):
        """Ends the trial; a traceback of a worker's goes into the directory, since messages leave it out."""
        if self._beat is not None:
            self._beat.stop()
            if trial.message:
                (Path(self.get_trial_dir(trial.trial_id)) / "error.txt").write_text(trial.message, encoding="utf-8")
        super().on_trial_end(trial)

    def run_trial(self, trial, *args, **kwargs):
        """Trains a trial's configuration, with one seed or several; -> one dictionary of figures for each."""
        callbacks = kwargs.pop("callbacks", None) or []
        return [
            self.execute(trial, self.seed + number, copy.deepcopy(callbacks), *args, first=number == 0, **kwargs)
            for number in range(self.executions_per_trial)
        ]

    def execute(self, trial, seed, callbacks, *args, first=True, **kwargs):
        """One training of a trial's configuration; -> {metric: value at the best epoch, weights, ms_per_step}."""
        values = trial.hyperparameters.values
        keras.backend.clear_session()
        gc.collect()
        keras.utils.set_random_seed(seed)  # after clear_session, which forgets it
        model = self.hypermodel.build(trial.hyperparameters)
        best, clock = BestWeights(self.oracle.objective), StepClock()
        own = [EpochReport(self.oracle, trial.trial_id, values.get("tuner/epochs"))] if first else []
        if "tuner/epochs" in values:
            own.append(self._rung(values, trial, first, kwargs))
        if hasattr(self.hypermodel, "space"):
            kwargs["seed"] = seed
        began = time.perf_counter()
        self.hypermodel.fit(trial.hyperparameters, model, *args, callbacks=[*callbacks, *own, best, clock], **kwargs)
        if first:
            best.save(self._get_checkpoint_fname(trial.trial_id))
        found = best.figures()
        self.oracle.update_trial(trial.trial_id, {SEED + self.oracle.objective.name: best.value}, step=seed)
        about = {"weights": model.count_params(), "ms_per_step": clock.ms, "seconds": time.perf_counter() - began}
        return {**found, **{name: value for name, value in about.items() if value is not None}}

    def _rung(self, values, trial, first, kwargs):
        """The callback of a round of Hyperband's; sets where `fit` begins."""
        kwargs["epochs"], until = self.max_epochs, values["tuner/epochs"]
        if not first:
            return Rung(until)
        before = values.get("tuner/trial_id")
        directory = before and Path(self.get_trial_dir(before)) / STATE
        found = Continue(directory, Path(self.get_trial_dir(trial.trial_id)) / STATE, until)
        if found.found:
            kwargs["initial_epoch"] = values["tuner/initial_epoch"]
        return found

    def repeat(self, trial_id, seed, *args, **kwargs):
        """Trains the configuration of a trial once more, with another seed; the value joins the trial's record."""
        return self.execute(self.oracle.trials[trial_id], seed, [], *args, first=False, **kwargs)
