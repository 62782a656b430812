"""`tune_text`: a search for the depth and width of a language model on a text, from the first trial to the model."""

import json
import math
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from deeprnn_keras.training.files import save_json
from deeprnn_keras.training.run_folder import CHECKPOINTS
from deeprnn_keras.training.step_time import first_batch, step_ms
from deeprnn_keras.training.text_plan import batches, split_text
from deeprnn_keras.tuning.answer import Answer
from deeprnn_keras.tuning.clock import Clock
from deeprnn_keras.tuning.keras_tuner_extra import keras_tuner
from deeprnn_keras.tuning.progress import SearchProgress
from deeprnn_keras.tuning.records import read_trials
from deeprnn_keras.tuning.tuners import TUNERS
from deeprnn_keras.tuning.workers import Workers

EPOCHS = 4  # of a trial: where it can be broken off, and Hyperband's unit
SEARCH, CONFIRM = 0.62, 0.78  # shares of the time after which the search, and further seeds, are over
RESERVE = 0.05  # of the time, for scoring and pictures
TOP, SEEDS = 3, 3  # configurations that are trained again, seeds of each
LEAST = 0.1  # share of the time for training the best anew, however long the rest took
PROJECT, PLAN, CLOCK, RETRAINING, BEST = "search", "plan.json", "clock.json", "retraining.json", "best"
CUT = ("batch_size", "bptt", "stateful", "random_bptt", "stride")  # what of a recipe the data depends on
SPEEDUP = 1.5  # of two and more workers over one that has all cores to itself


@dataclass
class TextSearch:
    """A text, and what of it trials are given.

    Attributes:
        hyper: a `HyperDeepRNN` of a language model of the zoo.
        corpus: a `TextCorpus` in its vocabulary.
        folder: for all that the search leaves.
        algorithm: "random", "bayesian", "hyperband" or "grid".
        trials: at most; None: as many as the algorithm has.
        minutes: for everything, retraining the best included; None: no limit.
        updates: of a trial; None: from the time there is, or about a minute each.
        workers: processes that run trials.
        seed: of draws, weights, order and dropout.
        prune: break off what is worse than the median of the others.
    """

    hyper: object
    corpus: object
    folder: Path
    algorithm: str = "bayesian"
    trials: int | None = 20
    minutes: float | None = None
    updates: int | None = None
    workers: int = 1
    seed: int = 0
    prune: bool = True
    _pieces: tuple = field(default=None, repr=False)
    _data: dict = field(default_factory=dict, repr=False)

    def __post_init__(self):
        self.folder = Path(self.folder)
        self.clock = Clock(self.minutes, self.folder / CLOCK)

    @property
    def project(self):
        """The folder of keras-tuner's records."""
        return self.folder / PROJECT

    # === Data ===
    def data(self, recipe):
        """(training data, validation data) of a trial, of `updates` updates in four epochs."""
        if self._pieces is None:
            split = split_text(self.corpus, recipe)
            self._pieces = self.corpus.encode(split.train), self.corpus.encode(split.validation)
        key = tuple(getattr(recipe, name) for name in CUT)
        if key not in self._data:  # kept: each holds the whole text
            train, validation = batches(*self._pieces, recipe, True, self.seed)
            self._data[key] = train(self.updates and max(1, self.updates // EPOCHS)), validation
        return self._data[key]

    def largest_recipe(self):
        """The recipe with the largest n and T that are searched."""
        ranges = self.hyper.space.ranges
        searched = {name: ranges[name].high for name in ("batch_size", "bptt") if name in ranges}
        return self.hyper.model.recipe.changed(**searched)

    def plan(self):
        """Settles `updates`, and writes it down, so that trials after a resume are as long as those before."""
        path = self.folder / PLAN
        if path.exists():
            self.updates = json.loads(path.read_text(encoding="utf-8"))["updates"]
            self._data.clear()
            return
        if self.updates is None:
            self.updates = self._affordable()
        self.updates = max(EPOCHS, self.updates // EPOCHS * EPOCHS)
        self._data.clear()  # made for the clock, with epochs of another length
        self.folder.mkdir(parents=True, exist_ok=True)
        save_json({"updates": self.updates}, path)

    def _affordable(self):
        config = self._middle()
        if self.minutes is None:
            return config.recipe.quick(config.count_params(), config.num_layers)[1]
        model, began = config.build(), time.perf_counter()
        ms = step_ms(model, first_batch(self.data(self.largest_recipe())[0]))
        start = time.perf_counter() - began  # with what is compiled, which every trial does anew
        slower = 1.0 if self.workers == 1 else self.workers / SPEEDUP
        rounds = math.ceil((self.trials or 20) / self.workers)
        seconds = SEARCH * 60 * self.minutes / rounds / slower - 1.5 * start
        return int(max(seconds, 0.0) / (1.2e-3 * ms))

    def _middle(self):
        """A configuration of medium size: what the time is reckoned with."""
        ranges = self.hyper.space.ranges
        layers = ranges["num_layers"].options()
        overrides = {"num_layers": layers[len(layers) // 2]}
        if self.hyper.budget.params is not None:
            values = next(v for v in self.hyper.space.corners() if v["num_layers"] == overrides["num_layers"])
            return self.hyper.resolve(values).config
        if "units" in ranges:
            overrides["units"] = round(math.sqrt(ranges["units"].low * ranges["units"].high))
        return self.hyper.model.changed(**overrides)

    # === The search ===
    def tuner(self):
        """The tuner, which goes on where it was."""
        options = {"max_epochs": EPOCHS, "factor": 2} if self.algorithm == "hyperband" else {}
        return TUNERS[self.algorithm](
            self.hyper,
            "val_loss",
            self.trials,
            seed=self.seed,
            prune=self.prune,
            directory=self.folder,
            project_name=PROJECT,
            minutes=None if self.minutes is None else max(self.clock.left(SEARCH) / 60, 1e-3),
            about={"text": self.corpus.name, "characters": len(self.corpus), "updates": self.updates},
            **options,
        )

    def run_as_child(self):
        """The part of a chief or a worker; the chief settles what is not settled, workers wait for it."""
        path = self.folder / PLAN
        while not path.exists() and "chief" not in os.environ["KERASTUNER_TUNER_ID"]:
            time.sleep(1.0)
        self.plan()
        self._search(self.tuner())

    def _search(self, tuner):
        tuner.search(self.data, verbose=0, **({} if self.algorithm == "hyperband" else {"epochs": EPOCHS}))

    def run(self, console, command=()):
        """All trials; with several workers `command` starts each. -> the answer so far."""
        self.plan()
        deadline = None if self.minutes is None else time.time() + self.clock.left(SEARCH)
        watch = SearchProgress(
            console, self.project, self.answer_of, "val_loss", self.trials, self.workers, deadline, self.clock.note
        )
        try:
            with watch:
                if self.workers == 1:
                    self._search(self.tuner())
                else:
                    with Workers(command, self.workers, self.folder / "logs") as workers:
                        workers.wait()
        finally:
            self.clock.note(now=True)
        return self.answer()

    def confirm(self, console):
        """Trains the best configurations with further seeds, as far as there is time; -> the answer."""
        tuner = self.tuner()
        best = [row.trial_id for row in self.answer().rows[:TOP]]
        with console.status("training the best again with other seeds") as status:
            for seed in range(self.seed + 1, self.seed + SEEDS):
                for place, trial_id in enumerate(best, start=1):
                    record = self._record(trial_id)
                    if seed in dict(record.seeds) or record.metrics.get("seconds", 0.0) > self.clock.left(CONFIRM):
                        continue
                    status.update(f"training number {place} again with seed {seed}")
                    tuner.repeat(trial_id, seed, self.data, epochs=EPOCHS)
                    self.clock.note(now=True)
        return self.answer()

    def _record(self, trial_id):
        return next(record for record in read_trials(self.project, "val_loss") if record.trial_id == trial_id)

    # === The answer ===
    def answer_of(self, records):
        """The `Answer` of records of trials."""
        bits = (f"bits per {self.corpus.vocabulary.unit}", 1 / math.log(2))
        return Answer(records, self.hyper, keras_tuner.Objective("val_loss", "min"), bits)

    def answer(self):
        """The `Answer` of the records on disk."""
        return self.answer_of(read_trials(self.project, "val_loss"))

    def retrain(self, console):
        """Trains the best configuration anew, as long as recipe or time allow; -> (`TextRun`, model)."""
        import keras

        from deeprnn_keras.training.text_run import train_text

        plan, folder = self._retraining(), self.folder / BEST
        resume = (folder / CHECKPOINTS).is_dir()
        if folder.exists() and not resume:  # killed before its first checkpoint, or after its last
            shutil.rmtree(folder)
        config = self.hyper.resolve(plan["values"]).config
        keras.backend.clear_session()
        keras.utils.set_random_seed(self.seed)
        model = config.build()
        title = f"{config.architecture()}, {model.count_params():,} weights, on {self.corpus.name}"
        run = train_text(
            model,
            self.corpus,
            config.recipe,
            folder,
            updates=plan["updates"],
            deadline=plan["seconds"] and time.time() + plan["seconds"],
            seed=self.seed,
            title=title,
            console=console,
            resume=resume,
        )
        return run, model

    def _retraining(self):
        """What is trained anew, and how long: settled once, so that it can be gone on with after a kill."""
        path = self.folder / RETRAINING
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        best, seconds = self.answer().best(), self.clock.left(1 - RESERVE)
        plan = {"values": best.values, "updates": None, "seconds": None}
        if math.isfinite(seconds):
            seconds = max(seconds, LEAST * 60 * self.minutes)
            plan |= {"seconds": seconds, "updates": max(EPOCHS, int(1e3 * seconds / (1.15 * (best.ms or 100.0))))}
        save_json(plan, path)
        return plan
