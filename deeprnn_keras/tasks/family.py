"""`Family`: everything that the package knows about one kind of task."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from deeprnn_keras.tasks.report import print_score
from deeprnn_keras.tasks.run import (
    CHECKPOINTS,
    HISTORY,
    RESULT,
    Plan,
    Run,
    create_run_directory,
    fit,
    recipe_record,
    run_directory,
)

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.training.recipe import Recipe

VALIDATION_BATCH = 64  # examples


class Configuration(Protocol):
    """Fields that a family reads of a configuration of the zoo, `deeprnn_keras.zoo.Configuration`."""

    name: str
    task: str
    data: str
    corpus: str | None
    recipe: Recipe

    def replace(self, **overrides: Any) -> Configuration:
        """Return a configuration with other values."""


@dataclass(frozen=True)
class EvaluationRecord:
    """EvaluationRecord of a trained model for the zoo's results.csv.

    Attributes:
        data: Name of the data set.
        split: Part of the data that was scored: "validation" or "test".
        values: `{metric: value}`.
        batch: A training batch to time an update with.
    """

    data: str
    split: str
    values: dict[str, float]
    batch: tuple[Any, ...]


class Family:
    """A kind of task: its data, loss, score, and words.

    `deeprnn train`, `evaluate`, `generate`, `tune`, `info`, and `list`, the cards and tables of the zoo, presets, and
    `deeprnn train --publish` ask the family of a configuration (`config.task`) for all that depends on the task.

    A subclass needs `name` and `load_data`. Where the model has no `loss_function`, it also overrides `loss`, and
    `metrics` if accuracy or the like is to be reported. The rest has defaults for data in arrays: batches of shuffled
    examples, the loss and metrics on the test part as the score, and a run that saves model.keras, history.csv, and
    result.json, can be interrupted and resumed, keeps the epoch with the lowest validation loss, and stops with advice
    when the loss is no longer finite.

    A package provides a family through an entry point in its pyproject.toml; its configurations, returned by `entries`,
    become models of the zoo:

        [project.entry-points."deeprnn_keras.families"]
        parity = "deeprnn_parity:Parity"

    Attributes:
        name: Name of the task, as in `deeprnn list --task NAME` and `config.task`.
        order: Position in the zoo's page; families with equal numbers are sorted by name.
        intended_use: What models are for, on the card.
        limits: What models cannot do, on the card.
        unsupported_options: Options of `deeprnn train` that the family refuses.
        files: `(label, file)` of a finished run, in the report.

    >>> import keras, numpy as np, tempfile
    >>> from rich.console import Console
    >>> from deeprnn_keras import GRU, Recipe
    >>> from deeprnn_keras.tasks import Family, Split
    >>> class Sums(Family):
    ...     name = "sums"
    ...     def load_data(self, config, path=None):
    ...         x = np.random.default_rng(0).random((40, 5, 1), "float32")
    ...         return Split((x[:30], x[:30].sum(1)), (x[30:], x[30:].sum(1)), name="random sums")
    ...     def loss(self, model):
    ...         return "mse"
    >>> family, model = Sums(), keras.Sequential([keras.Input((5, 1)), GRU(4), keras.layers.Dense(1)])
    >>> data, directory = family.load_data(None), tempfile.mkdtemp()
    >>> run = family.train(model, data, Recipe(batch_size=10), directory, console=Console(quiet=True))
    >>> run.ending, list(run.score)
    ('finished', ['loss'])
    """

    name: str
    order: ClassVar[int] = 1
    intended_use: ClassVar[str] = "to compare recurrent networks"
    limits: ClassVar[str] = ""
    unsupported_options: ClassVar[tuple[str, ...]] = ("quick", "bptt", "stateful")
    files: ClassVar[tuple[tuple[str, str], ...]] = (
        ("model", "model.keras"),
        ("epochs", HISTORY),
        ("all figures", RESULT),
    )

    # === Configurations and models ===
    def entries(self) -> Sequence[Configuration]:
        """Return the configurations that come with the family; they become models of the zoo."""
        return ()

    def accepts(self, model: keras.Model) -> bool:
        """Return whether a model that is not named after one of the zoo belongs to this family."""
        return False

    def loss(self, model: keras.Model) -> Any:
        """Return the loss for `compile`."""
        return model.loss_function()

    def metrics(self, model: keras.Model) -> list[Any]:
        """Return the metrics for `compile`."""
        return model.metric_functions() if hasattr(model, "metric_functions") else []

    # === Data ===
    def load_data(self, config: Configuration, path: Path | None = None) -> Any:
        """Return the data of a configuration, a `Split` unless other methods are overridden.

        Args:
            config: A configuration of this family.
            path: The file given with --data; None loads the data that come with the package.

        Raises:
            ValueError: If there are no data, or the file is missing or not supported.
        """
        raise NotImplementedError(f"task family {self.name!r} must define load_data")

    def data_included(self, config: Configuration) -> bool:
        """Return whether the data come with the package, so that a run on another file is not the entry's own."""
        return False

    def configure(self, config: Configuration, data: Any) -> Configuration:
        """Return `config` adapted to `data`, for example to its vocabulary."""
        return config

    def describe_data(self, data: Any) -> str:
        """Return name and size of `data` for the first line of a report."""
        return data.name

    def data_record(self, data: Any) -> dict[str, Any]:
        """Return the fields of result.json that describe `data`."""
        return {"data": data.name}

    def batches(
        self, model: keras.Model, part: Any, batch_size: int, *, shuffle: bool = True, seed: int | None = None
    ) -> Batches:
        """Return batches of a part of the data, which `Resume` can position.

        Args:
            model: The model that reads them.
            part: `data.train`, `data.test`, or `data.validation`.
            batch_size: n.
            shuffle: Whether to draw a new order for every epoch.
            seed: Random seed of the order.
        """
        from deeprnn_keras.data.arrays import ArrayDataset

        return ArrayDataset(*part, batch_size=batch_size, shuffle=shuffle, seed=seed)

    # === Training ===
    def train(
        self,
        model: keras.Model,
        data: Any,
        recipe: Recipe,
        directory: str | Path,
        *,
        quick: bool = False,
        updates: int | None = None,
        deadline: float | None = None,
        seed: int = 0,
        title: str | None = None,
        console: Console | None = None,
        resume: bool = False,
        settings: dict[str, Any] | None = None,
    ) -> Run:
        """Train a model with `model.fit` and save the results in `directory`.

        The saved model is that of the epoch with the lowest validation loss, or of the last epoch without validation
        data. After Ctrl-C it is the model at that moment, after a non-finite loss the last good one. An interrupted run
        continues with `resume=True` and produces the same result as an uninterrupted one; see `Resume`.

        Args:
            model: The model; it is compiled with the recipe.
            data: Data as returned by `load_data`.
            recipe: A `Recipe`.
            directory: Output directory, which does not exist or is empty; with `resume` that of the interrupted run.
            quick: Shorten the recipe to about two minutes on two cores.
            updates: Maximum number of updates, instead of the recipe's.
            deadline: Time, as of `time.time`, at which training ends; None for no limit.
            seed: Random seed for shuffling, dropout, and sampling.
            title: Title of the learning curve, if there is one.
            console: A `rich.console.Console` for progress; None creates one.
            resume: Continue the run in `directory`. Model, data, recipe, and seed must be unchanged.
            settings: Plain values stored in run.json for whoever resumes the run.

        Raises:
            ValueError: If the directory is in use or, with `resume`, holds no unfinished run or a different one, or if
                the data do not fit the model.
        """
        import keras
        from rich.console import Console

        from deeprnn_keras.training.device import device_name
        from deeprnn_keras.training.files import save_json, save_model, save_table

        directory, console, start = run_directory(directory, resume), console or Console(), time.monotonic()
        keras.utils.set_random_seed(seed)
        plan = self.plan(model, data, recipe, seed=seed, quick=quick, updates=updates)
        create_run_directory(directory, settings)
        plan.recipe.compile(model, self.loss(model), self.metrics(model))
        run, (history, *displays) = self.new_run(directory), self.monitors(model, console)
        fit(run, model, plan, history, displays, deadline)
        save_model(model, run.model_path)
        save_table(history.epochs, directory / HISTORY)
        self.finish(run, model, data, recipe, history, title=title, seed=seed, console=console)
        result = {
            "model": model.name,
            "weights": model.count_params(),
            **self.data_record(data),
            "ending": run.ending,
            **self.score_record(run, data),
            "recipe": recipe_record(plan.recipe),
            "updates": getattr(history, "update", int(model.optimizer.iterations)),
            **({} if "quick" in self.unsupported_options else {"quick": quick}),
            "seed": seed,
            "seconds": round(time.monotonic() - start, 1),
            "resumed_at_update": run.resumed_at or None,
            "versions": {name: version(name) for name in ("deeprnn-keras", "keras", "tensorflow")},
            "python": platform.python_version(),
            "device": device_name(),
        }
        save_json(result, directory / RESULT)
        if run.ending == "finished":
            shutil.rmtree(directory / CHECKPOINTS)
        return run

    def plan(
        self,
        model: keras.Model,
        data: Any,
        recipe: Recipe,
        *,
        seed: int,
        quick: bool = False,
        updates: int | None = None,
    ) -> Plan:
        """Return the batches and epochs of a run.

        Raises:
            ValueError: If the data do not fit the model, or the family has no shortened runs.
        """
        if quick or updates is not None:
            raise ValueError(f"quick and updates are not supported for models of {self.name}")
        train = self.batches(model, data.train, recipe.batch_size, seed=seed)
        validation = None
        if data.validation is not None:
            validation = self.batches(model, data.validation, VALIDATION_BATCH, shuffle=False)
        return Plan(recipe, train, validation, recipe.epochs_for(len(train)))

    def new_run(self, directory: Path) -> Run:
        """Return the record of a run that starts."""
        return Run(directory)

    def monitors(self, model: keras.Model, console: Console) -> list[keras.callbacks.Callback]:
        """Return callbacks: first the one whose `epochs` become history.csv, then those that show progress."""
        from deeprnn_keras.training.callbacks import EpochHistory

        return [EpochHistory(console)]

    def finish(
        self,
        run: Run,
        model: keras.Model,
        data: Any,
        recipe: Recipe,
        history: keras.callbacks.Callback,
        *,
        title: str | None,
        seed: int,
        console: Console,
    ) -> None:
        """Score a finished run and save further files; the model and its history are saved already."""
        if run.ending == "finished":
            run.score = self.score(model, data.test)

    def score(self, model: keras.Model, part: Any) -> dict[str, float | int]:
        """Return `{metric: value}` of a model on a part of the data; by default the loss and metrics.

        The model is compiled with the loss and metrics of the family if it is not compiled.
        """
        if not model.compiled:
            model.compile(loss=self.loss(model), metrics=self.metrics(model))
        values = model.evaluate(self.batches(model, part, VALIDATION_BATCH, shuffle=False), verbose=0, return_dict=True)
        return {metric: float(value) for metric, value in values.items()}

    def score_record(self, run: Run, data: Any) -> dict[str, Any]:
        """Return the fields of result.json that describe the score."""
        return {"score": run.score}

    def report(self, run: Run, model: keras.Model, console: Console) -> None:
        """Print the score of a finished run."""
        print_score(run.score, console)

    # === Trained models ===
    def evaluate(
        self,
        model: keras.Model,
        config: Configuration | None,
        path: Path | None,
        console: Console,
        *,
        skip_unknown: bool = False,
    ) -> None:
        """Print the score of a trained model, for `deeprnn evaluate`.

        Args:
            model: A trained model.
            config: The zoo's configuration of that name, or None.
            path: The file given with --data, or None.
            console: A `rich.console.Console`.
            skip_unknown: Whether to leave out what the model does not know.
        """
        data = self.load_data(config, path)
        console.print(f"[bold]{model.name}[/] on {data.name}, test")
        print_score(self.score(model, data.test), console)

    def generate(
        self, model: keras.Model, config: Configuration | None, options: Mapping[str, Any], console: Console
    ) -> None:
        """Generate a continuation, for `deeprnn generate`.

        Args:
            model: A trained model.
            config: The zoo's configuration of that name, or None.
            options: The options that were given, by name: prompt, length, temperature, notes, seed, output, data,
                skip_unknown.
            console: A `rich.console.Console` for messages.

        Raises:
            ValueError: If the family does not generate, or an option is not supported.
        """
        raise ValueError(f"model {model.name!r} is not supported: models of {self.name} do not generate")

    def evaluation_record(self, config: Configuration, model: keras.Model, path: Path | None) -> EvaluationRecord:
        """Return what `deeprnn evaluate --record` stores.

        Args:
            config: The configuration, an entry of the zoo.
            model: Its trained model.
            path: The file given with --data, or None.

        Raises:
            ValueError: If the file is not the entry's own data.
        """
        from deeprnn_keras.training.step_time import first_batch

        data = self.load_data(config, path)
        score = self.score(model, data.test)
        values = {metric.replace("_", " "): value for metric, value in score.items() if isinstance(value, float)}
        train = self.batches(model, data.train, config.recipe.batch_size, seed=0)
        return EvaluationRecord(data.name, "test", values, first_batch(train))

    # === Tuning ===
    def check_tunable(self, config: Configuration) -> None:
        """Raise a ValueError if `deeprnn tune` does not support the family; a tunable one overrides all four."""
        raise ValueError(
            f"{config.name}: deeprnn tune does not support models of {self.name}; "
            f"use HyperDeepRNN(zoo.info({config.name!r})) in a script"
        )

    def trial_batches(self, data: Any, recipe: Recipe, steps: int | None, seed: int) -> tuple[Batches, Batches]:
        """Return training batches, `steps` per epoch, and a short validation set for the trials of a search.

        Raises:
            NotImplementedError: If a family overrides `check_tunable` alone.
        """
        raise NotImplementedError(f"task family {self.name!r} must define trial_batches to be tunable")

    def objective_unit(self, data: Any) -> tuple[str, float]:
        """Return name and factor of the unit in which a search reports the validation loss."""
        return "validation loss", 1.0

    def search_record(self, data: Any) -> dict[str, Any]:
        """Return plain values that identify the data of a search."""
        return self.data_record(data)

    # === Options ===
    def check_options(self, config: Configuration, given: Mapping[str, Any]) -> None:
        """Raise a ValueError for options of `deeprnn train` that the family does not support."""
        wrong = [f"--{name}" for name in self.unsupported_options if given.get(name) is not None]
        if wrong:
            raise ValueError(
                f"{config.name}: models of {self.name} do not support {', '.join(wrong)}; leave out {', '.join(wrong)}"
            )
