"""`Search`: find the depth and width of a model of the zoo, from the first trial to the trained model."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprnn_keras.tasks.run import CHECKPOINTS, Run
from deeprnn_keras.training.files import save_json
from deeprnn_keras.training.step_time import first_batch, step_ms
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner
from deeprnn_keras.tuning.progress import SearchProgress
from deeprnn_keras.tuning.records import read_trials
from deeprnn_keras.tuning.results import SearchResults
from deeprnn_keras.tuning.time_budget import Clock
from deeprnn_keras.tuning.tuners import TUNERS
from deeprnn_keras.tuning.workers import Workers

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.tasks import Family
    from deeprnn_keras.training.recipe import Recipe
    from deeprnn_keras.tuning import HyperDeepRNN
    from deeprnn_keras.tuning.records import TrialRecord
    from deeprnn_keras.tuning.tuner import DeepTuner

EPOCHS = 4  # of a trial: where it can be stopped early, and Hyperband's unit
SEARCH, CONFIRM = 0.62, 0.78  # shares of the time after which the search, and further seeds, end
RESERVE = 0.05  # of the time, for scoring and pictures
TOP, SEEDS = 3, 3  # configurations that are trained with further seeds, seeds of each
LEAST = 0.1  # smallest share of the time for retraining the best
PROJECT, PLAN, CLOCK, RETRAINING, BEST = "search", "plan.json", "clock.json", "retraining.json", "best"
DATA_FIELDS = ("batch_size", "bptt", "stateful", "random_bptt", "stride")  # of a recipe: the batches depend on them
SPEEDUP = 1.5  # of two and more workers over one that has all cores to itself


@dataclass
class Search:
    """A search over the configurations of a model of the zoo, and the files that it leaves.

    Attributes:
        hyper: A `HyperDeepRNN` of a model of the zoo.
        family: The task family of the model, one that `deeprnn tune` supports.
        data: Its data, as returned by the family's `load_data`.
        directory: Output directory.
        algorithm: "random", "bayesian", "hyperband", or "grid".
        trials: Maximum number of trials; None for as many as the algorithm has.
        minutes: Time for everything, retraining the best included; None for no limit.
        updates: Updates of a trial; None derives them from `minutes`, or takes about a minute for each trial.
        workers: Number of processes that run trials.
        seed: Random seed of draws, initialization, shuffling, and dropout.
        prune: Whether to stop trials that are worse than the median of the others.
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
    _batches: dict[tuple, tuple[Batches, Batches]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.directory = Path(self.directory)
        self.clock = Clock(self.minutes, self.directory / CLOCK)

    @property
    def project(self) -> Path:
        """Directory of keras-tuner's records."""
        return self.directory / PROJECT

    # === Data ===
    def batches(self, recipe: Recipe) -> tuple[Batches, Batches]:
        """Return the training and validation batches of a trial, `updates` updates in four epochs."""
        key = tuple(getattr(recipe, name) for name in DATA_FIELDS)
        if key not in self._batches:  # cached: each holds all data
            steps = self.updates and max(1, self.updates // EPOCHS)
            self._batches[key] = self.family.trial_batches(self.data, recipe, steps, self.seed)
        return self._batches[key]

    def largest_recipe(self) -> Recipe:
        """Return the recipe with the largest n and T that are searched."""
        ranges = self.hyper.space.ranges
        searched = {name: ranges[name].high for name in ("batch_size", "bptt") if name in ranges}
        return self.hyper.model.recipe.replace(**searched)

    def plan(self) -> None:
        """Determine `updates` and store it, so that trials after resuming are as long as those before."""
        path = self.directory / PLAN
        if path.exists():
            self.updates = json.loads(path.read_text(encoding="utf-8"))["updates"]
            self._batches.clear()
            return
        if self.updates is None:
            self.updates = self._affordable()
        self.updates = max(EPOCHS, self.updates // EPOCHS * EPOCHS)
        self._batches.clear()  # made for timing, with epochs of another length
        self.directory.mkdir(parents=True, exist_ok=True)
        save_json({"updates": self.updates}, path)

    def _affordable(self) -> int:
        config = self._middle()
        if self.minutes is None:
            return config.recipe.quick(config.count_params(), config.num_layers)[1]
        model, began = config.build(), time.perf_counter()
        ms = step_ms(model, first_batch(self.batches(self.largest_recipe())[0]))
        start = time.perf_counter() - began  # compilation included, which every trial repeats
        slower = 1.0 if self.workers == 1 else self.workers / SPEEDUP
        rounds = math.ceil((self.trials or 20) / self.workers)
        seconds = SEARCH * 60 * self.minutes / rounds / slower - 1.5 * start
        return int(max(seconds, 0.0) / (1.2e-3 * ms))

    def _middle(self) -> Any:
        """Return a configuration of medium size, whose time is measured."""
        ranges = self.hyper.space.ranges
        layers = ranges["num_layers"].options()
        overrides = {"num_layers": layers[len(layers) // 2]}
        if self.hyper.budget.params is not None:
            values = next(v for v in self.hyper.space.corners() if v["num_layers"] == overrides["num_layers"])
            return self.hyper.resolve(values).config
        if "units" in ranges:
            overrides["units"] = round(math.sqrt(ranges["units"].low * ranges["units"].high))
        return self.hyper.model.replace(**overrides)

    # === The search ===
    def tuner(self) -> DeepTuner:
        """Return the tuner, which continues from its records."""
        options = {"max_epochs": EPOCHS, "factor": 2} if self.algorithm == "hyperband" else {}
        return TUNERS[self.algorithm](
            self.hyper,
            "val_loss",
            self.trials,
            seed=self.seed,
            prune=self.prune,
            directory=self.directory,
            project_name=PROJECT,
            minutes=None if self.minutes is None else max(self.clock.left(SEARCH) / 60, 1e-3),
            about={**self.family.search_record(self.data), "updates": self.updates},
            **options,
        )

    def run_as_child(self) -> None:
        """Run the search as a chief or a worker; the chief writes the plan, workers wait for it."""
        path = self.directory / PLAN
        while not path.exists() and "chief" not in os.environ["KERASTUNER_TUNER_ID"]:
            time.sleep(1.0)
        self.plan()
        self._search(self.tuner())

    def _search(self, tuner: DeepTuner) -> None:
        tuner.search(self.batches, verbose=0, **({} if self.algorithm == "hyperband" else {"epochs": EPOCHS}))

    def run(self, console: Console, command: Sequence[str] = ()) -> SearchResults:
        """Run all trials and return the results so far; with several workers, `command` starts each."""
        self.plan()
        deadline = None if self.minutes is None else time.time() + self.clock.left(SEARCH)
        watch = SearchProgress(
            console, self.project, self.results_of, "val_loss", self.trials, self.workers, deadline, self.clock.note
        )
        try:
            with watch:
                if self.workers == 1:
                    self._search(self.tuner())
                else:
                    with Workers(command, self.workers, self.directory / "logs") as workers:
                        workers.wait()
        finally:
            self.clock.note(now=True)
        return self.results()

    def confirm(self, console: Console) -> SearchResults:
        """Train the best configurations with further seeds while time permits, and return the results."""
        tuner = self.tuner()
        best = [row.trial_id for row in self.results().rows[:TOP]]
        with console.status("training the best with other seeds") as status:
            for seed in range(self.seed + 1, self.seed + SEEDS):
                for place, trial_id in enumerate(best, start=1):
                    record = self._record(trial_id)
                    if seed in dict(record.seeds) or record.metrics.get("seconds", 0.0) > self.clock.left(CONFIRM):
                        continue
                    status.update(f"training number {place} with seed {seed}")
                    tuner.repeat(trial_id, seed, self.batches, epochs=EPOCHS)
                    self.clock.note(now=True)
        return self.results()

    def _record(self, trial_id: str) -> TrialRecord:
        return next(record for record in read_trials(self.project, "val_loss") if record.trial_id == trial_id)

    # === Results ===
    def results_of(self, records: Sequence[TrialRecord]) -> SearchResults:
        """Return the results of trials."""
        unit = self.family.objective_unit(self.data)
        return SearchResults(records, self.hyper, keras_tuner.Objective("val_loss", "min"), unit)

    def results(self) -> SearchResults:
        """Return the results of the trials on disk."""
        return self.results_of(read_trials(self.project, "val_loss"))

    def retrain(self, console: Console) -> tuple[Run, keras.Model]:
        """Train the best configuration from scratch, as long as recipe or time allow; return the run and the model."""
        import keras

        plan, directory = self._retraining(), self.directory / BEST
        resume = (directory / CHECKPOINTS).is_dir()
        if directory.exists() and not resume:  # killed before its first checkpoint, or after its last
            shutil.rmtree(directory)
        config = self.hyper.resolve(plan["values"]).config
        keras.backend.clear_session()
        keras.utils.set_random_seed(self.seed)
        model = config.build()
        title = f"{config.architecture()}, {model.count_params():,} weights, on {self.data.name}"
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

    def _retraining(self) -> dict[str, Any]:
        """Return what is retrained and for how long; it is stored, so that retraining can be resumed."""
        path = self.directory / RETRAINING
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        best, seconds = self.results().best(), self.clock.left(1 - RESERVE)
        plan = {"values": best.values, "updates": None, "seconds": None}
        if math.isfinite(seconds):
            seconds = max(seconds, LEAST * 60 * self.minutes)
            plan |= {"seconds": seconds, "updates": max(EPOCHS, int(1e3 * seconds / (1.15 * (best.ms or 100.0))))}
        save_json(plan, path)
        return plan
