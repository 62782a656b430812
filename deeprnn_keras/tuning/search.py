"""Search for the depth and width of a zoo model, from the first trial to the trained model."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from deeprnn_keras import progress
from deeprnn_keras._types import Config
from deeprnn_keras.reading import read_record
from deeprnn_keras.tasks.run import CHECKPOINTS, Run
from deeprnn_keras.training.step_time import first_batch, step_ms
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner
from deeprnn_keras.tuning.progress import SearchProgress
from deeprnn_keras.tuning.results import SearchResults
from deeprnn_keras.tuning.time_budget import TimeBudget
from deeprnn_keras.tuning.trial_records import read_trials
from deeprnn_keras.tuning.tuners import TUNERS
from deeprnn_keras.tuning.workers import Workers
from deeprnn_keras.writing import save_json

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.tasks import Family
    from deeprnn_keras.training.recipe import Recipe
    from deeprnn_keras.tuning.custom_model_config import ModelConfig
    from deeprnn_keras.tuning.hyper_deep_rnn import HyperDeepRNN
    from deeprnn_keras.tuning.resumable_tuner import ResumableTuner
    from deeprnn_keras.tuning.study_tuner import StudyTuner
    from deeprnn_keras.tuning.trial_records import TrialRecord

EPOCHS_PER_TRIAL = 4  # a trial can be pruned after each; Hyperband's rounds consist of whole epochs
OBJECTIVE = "val_loss"
# fractions of the time limit
SEARCH_END = 0.62  # no trial starts after this time
CONFIRMATION_END = 0.78  # no run with a further seed starts if its estimated end is after this time
RESERVED = 0.05  # time for scoring and plots
MIN_RETRAINING = 0.1  # minimum time for retraining the best configuration
NUM_CONFIRMED = 3  # number of best configurations that are trained with further seeds
NUM_SEEDS = 3  # number of seeds for each of them, including that of its trial
WORKER_SPEEDUP = 1.5  # speedup of two or more workers over one that uses all cores
PROJECT_NAME, BEST_DIRECTORY = "search", "best"
PLAN_FILE, TIME_FILE, RETRAINING_FILE = "plan.json", "time.json", "retraining.json"
DATA_FIELDS = (
    "batch_size",
    "bptt",
    "stateful",
    "random_bptt",
    "stride",
)  # fields of a recipe that determine the batches


class SearchPlan(TypedDict):
    """Content of plan.json."""

    updates: int


class RetrainingPlan(TypedDict):
    """Content of retraining.json."""

    values: dict[str, bool | int | float | str]
    updates: int | None
    seconds: float | None


@dataclass
class Search:
    """Search for the best configuration of a zoo model, with all its files in one output directory.

    Attributes:
        hyper: A `HyperDeepRNN` of a zoo model.
        family: The task family of the model, one that `deeprnn tune` supports.
        data: Its data, as returned by the family's `load_data`.
        directory: Output directory.
        algorithm: "random", "bayesian", "hyperband", or "grid".
        trials: Maximum number of trials; None for no limit.
        minutes: Time limit for everything, including retraining the best configuration; None for no limit.
        updates: Number of updates per trial; None to derive it from `minutes` or, without a time limit, to train each
            trial for about one minute.
        workers: Number of processes that run trials.
        seed: Random seed of samples, initialization, shuffling, and dropout.
        prune: If True, stop trials that are worse than the median of the others.
        time_budget: The elapsed and remaining time.
    """

    hyper: HyperDeepRNN
    family: Family
    data: Any
    directory: Path
    algorithm: str = "bayesian"
    trials: int | None = 20
    minutes: float | None = None
    updates: int | None = None
    workers: int = 1
    seed: int = 0
    prune: bool = True
    time_budget: TimeBudget = field(init=False, repr=False)
    _batches: dict[tuple[Any, ...], tuple[Batches, Batches]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.directory = Path(self.directory)
        self.time_budget = TimeBudget(self.minutes, self.directory / TIME_FILE)

    @property
    def project_directory(self) -> Path:
        """Directory of keras-tuner's records."""
        return self.directory / PROJECT_NAME

    # === Data ===
    def batches(self, recipe: Recipe) -> tuple[Batches, Batches]:
        """Return the training and validation batches of a trial; its four epochs have `updates` updates in total."""
        key = tuple(getattr(recipe, name) for name in DATA_FIELDS)
        if key not in self._batches:  # cached, because each entry holds all data
            steps = self.updates and max(1, self.updates // EPOCHS_PER_TRIAL)
            self._batches[key] = self.family.trial_batches(self.data, recipe, steps, self.seed)
        return self._batches[key]

    def largest_recipe(self) -> Recipe:
        """Return the recipe with the largest batch size and T of the search space."""
        searched = self.hyper.space.hyperparameters
        largest = {name: searched[name].high for name in ("batch_size", "bptt") if name in searched}
        return self.hyper.config.recipe.replace(**largest)

    # === Plan ===
    def plan(self) -> None:
        """Determine `updates` and store it, so that trials have the same length after resuming."""
        path = self.directory / PLAN_FILE
        if path.exists():
            self.updates = read_record(path, SearchPlan, "the plan of a search")["updates"]
            self._batches.clear()
            return
        updates = self._affordable_updates() if self.updates is None else self.updates
        self.updates = max(EPOCHS_PER_TRIAL, updates // EPOCHS_PER_TRIAL * EPOCHS_PER_TRIAL)
        self._batches.clear()  # the batches for timing have epochs of another length
        self.directory.mkdir(parents=True, exist_ok=True)
        save_json({"updates": self.updates}, path)

    def _affordable_updates(self) -> int:
        config = self._medium_config()
        if self.minutes is None:
            return config.recipe.quick(config.count_params(), config.num_layers)[1]
        model, started_at = config.build(), time.perf_counter()
        ms = step_ms(model, first_batch(self.batches(self.largest_recipe())[0]))
        start_up = time.perf_counter() - started_at  # includes compilation, which every trial repeats
        slowdown = 1.0 if self.workers == 1 else self.workers / WORKER_SPEEDUP
        rounds = math.ceil((self.trials or 20) / self.workers)
        seconds = SEARCH_END * 60 * self.minutes / rounds / slowdown - 1.5 * start_up
        return int(max(seconds, 0.0) / (1.2e-3 * ms))

    def _medium_config(self) -> ModelConfig:
        """Return a configuration of medium size, whose step time is measured."""
        searched = self.hyper.space.hyperparameters
        layers = searched["num_layers"].options()
        overrides = {"num_layers": layers[len(layers) // 2]}
        if self.hyper.budget.params is not None:
            values = next(v for v in self.hyper.space.smallest_values() if v["num_layers"] == overrides["num_layers"])
            return self.hyper.resolve(values).config
        if "units" in searched:
            overrides["units"] = round(math.sqrt(searched["units"].low * searched["units"].high))
        return self.hyper.config.replace(**overrides)

    # === Trials ===
    def tuner(self) -> ResumableTuner | StudyTuner:
        """Return the tuner, which resumes from its records."""
        options: dict[str, Any] = {"max_epochs": EPOCHS_PER_TRIAL, "factor": 2} if self.algorithm == "hyperband" else {}
        return TUNERS[self.algorithm](
            self.hyper,
            OBJECTIVE,
            self.trials,
            seed=self.seed,
            prune=self.prune,
            directory=self.directory,
            project_name=PROJECT_NAME,
            minutes=None if self.minutes is None else max(self.time_budget.remaining(SEARCH_END) / 60, 1e-3),
            about={**self.family.search_record(self.data), "updates": self.updates},
            **options,
        )

    def run_as_child(self) -> None:
        """Run the search as a chief or a worker; the chief writes the plan, and workers wait for it."""
        path = self.directory / PLAN_FILE
        while not path.exists() and "chief" not in os.environ["KERASTUNER_TUNER_ID"]:
            time.sleep(1.0)
        self.plan()
        self._run_trials(self.tuner())

    def _run_trials(self, tuner: ResumableTuner | StudyTuner) -> None:
        options = {} if self.algorithm == "hyperband" else {"epochs": EPOCHS_PER_TRIAL}
        tuner.search(self.batches, verbose=0, **options)

    def run(self, console: Console, command: Sequence[str] = ()) -> SearchResults:
        """Run all trials.

        Args:
            console: Console for the progress.
            command: Command line of the chief and of each worker, if there are several workers.

        Returns:
            The results so far.
        """
        self.plan()
        deadline = None if self.minutes is None else time.time() + self.time_budget.remaining(SEARCH_END)
        display = SearchProgress(
            console,
            self.records,
            self.results_of,
            self.trials,
            self.workers,
            deadline,
            self.time_budget.store,
        )
        try:
            with display:
                if self.workers == 1:
                    self._run_trials(self.tuner())
                else:
                    with Workers(command, self.workers, self.directory / "logs") as workers:
                        workers.wait()
        finally:
            self.time_budget.store(now=True)
        return self.results()

    def confirm(self, console: Console) -> SearchResults:
        """Train the best configurations with further seeds while time permits, and return the results."""
        tuner = self.tuner()
        best = [row.trial_id for row in self.results().rows[:NUM_CONFIRMED]]
        repetitions = [(seed, trial) for seed in range(self.seed + 1, self.seed + NUM_SEEDS) for trial in best]
        with progress.shown(console, "Training the best configurations with further seeds", "runs"):
            for seed, trial_id in progress.tracked(repetitions, len(repetitions)):
                record = self._record(trial_id)
                remaining = self.time_budget.remaining(CONFIRMATION_END)
                if seed in dict(record.seeds) or record.metrics.get("seconds", 0.0) > remaining:
                    continue
                tuner.repeat(trial_id, seed, self.batches, epochs=EPOCHS_PER_TRIAL)
                self.time_budget.store(now=True)
        return self.results()

    def _record(self, trial_id: str) -> TrialRecord:
        return next(record for record in self.records() if record.trial_id == trial_id)

    # === Results ===
    def records(self) -> list[TrialRecord]:
        """Return the records of the trials so far."""
        return read_trials(self.project_directory, OBJECTIVE)

    def results_of(self, records: Sequence[TrialRecord]) -> SearchResults:
        """Return the results of the trials in `records`."""
        unit = self.family.objective_unit(self.data)
        return SearchResults(records, self.hyper, keras_tuner.Objective(OBJECTIVE, "min"), unit)

    def results(self) -> SearchResults:
        """Return the results so far."""
        return self.results_of(self.records())

    # === Best configuration ===
    def retrain(self, console: Console) -> tuple[Run, keras.Model]:
        """Train the best configuration from scratch for the recipe's epochs or the remaining time.

        Args:
            console: Console for the progress.

        Returns:
            The run and the model.
        """
        import keras

        plan, directory = self._retraining_plan(), self.directory / BEST_DIRECTORY
        resume = (directory / CHECKPOINTS).is_dir()
        if directory.exists() and not resume:  # killed before its first checkpoint, or after its end
            shutil.rmtree(directory)
        config = self.hyper.resolve(plan["values"]).config
        keras.backend.clear_session()
        keras.utils.set_random_seed(self.seed)
        model = config.build()
        title = f"{config.architecture()}, {model.count_params():,} parameters, on {self.data.name}"
        run = self.family.train(
            model,
            self.data,
            config.recipe,
            directory,
            updates=plan["updates"],
            deadline=plan["seconds"] and time.time() + plan["seconds"],
            seed=self.seed,
            title=title,
            console=console,
            resume=resume,
        )
        return run, model

    def _retraining_plan(self) -> Config:
        """Return the hyperparameter values and the length of the retraining; both are stored for resuming."""
        path = self.directory / RETRAINING_FILE
        if path.exists():
            return cast("Config", read_record(path, RetrainingPlan, "the plan of a training run"))
        best = self.results().best()
        plan: Config = {"values": best.values, "updates": None, "seconds": None}
        if self.minutes is not None:
            seconds = max(self.time_budget.remaining(1 - RESERVED), MIN_RETRAINING * 60 * self.minutes)
            updates = int(1e3 * seconds / (1.15 * (best.ms_per_step or 100.0)))
            plan |= {"seconds": seconds, "updates": max(EPOCHS_PER_TRIAL, updates)}
        save_json(plan, path)
        return plan
