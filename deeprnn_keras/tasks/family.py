"""`Family`: the data, loss, score, and reports of one kind of task."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

from deeprnn_keras import checks, processes, progress
from deeprnn_keras._types import DataPart, PathLike, TaskData, Tensor
from deeprnn_keras.data.data_files import OFFICIAL_OPTIONS, RECORDING_OPTIONS, DataFiles
from deeprnn_keras.tasks.report import print_score
from deeprnn_keras.tasks.run import (
    CHECKPOINTS,
    HISTORY,
    MODEL,
    PROGRAM,
    RESULT,
    Plan,
    Run,
    fit,
    locked_run_directory,
    recipe_record,
    run_directory,
    save_program,
)
from deeprnn_keras.terminal import replace_unprintable

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.program import Program
    from deeprnn_keras.training.recipe import Recipe

VALIDATION_BATCH_SIZE = 64
OTHER_FILES = (*OFFICIAL_OPTIONS, *RECORDING_OPTIONS)  # options of files that most families do not support


class Configuration(Protocol):
    """The part of `deeprnn_keras.zoo.Configuration` that task families use."""

    @property
    def name(self) -> str:
        """Name in the zoo."""
        ...

    @property
    def data(self) -> str:
        """Description of the training data."""
        ...

    @property
    def corpus(self) -> str | None:
        """Name of the function of `deeprnn_keras.data` that loads the data, or None."""
        ...

    @property
    def recipe(self) -> Recipe:
        """The training recipe."""
        ...

    def replace(self, **overrides: Any) -> Self:
        """Return a copy with other values for some fields."""
        ...


ConfigurationT = TypeVar("ConfigurationT", bound=Configuration)


@dataclass(frozen=True)
class EvaluationRecord:
    """Scores of a trained model for the zoo's results.csv.

    Attributes:
        data: Name of the data set.
        split: Part of the data that was scored: "validation" or "test".
        metrics: `{metric: value}`.
        training_batch: One training batch, to time an update with.
    """

    data: str
    split: str
    metrics: dict[str, float]
    training_batch: tuple[Any, ...]


class Family:
    """Task family: the data, loss, score, and reports of one kind of task.

    Everything that depends on the task is a method or an attribute of its family. The commands `deeprnn train`,
    `evaluate`, `generate`, `tune`, `info`, and `list`, the zoo's cards and tables, presets, and `deeprnn train
    --publish` use it. `config.task` names the family of a configuration.

    A subclass must define `name` and `load_data`. If its models have no method `loss_function`, it must also override
    `loss`; to report metrics in addition to the loss, it overrides `metrics`. All other methods have defaults, which
    are suitable for data in arrays:

    - Batches consist of shuffled examples.
    - The score consists of the loss and metrics on the test part.
    - A run saves model.keras, its program (see `deeprnn_keras.lower`), history.csv, and result.json. It can be
      interrupted and resumed. The weights of the epoch with the lowest validation loss are restored at the end. If the
      loss becomes non-finite, the run stops and reports suggested changes.
    - Generation and `deeprnn tune` are not supported. To support them, override `generate`, or `check_tunable` and
      `trial_batches`.

    A package provides a family through an entry point in its pyproject.toml. The configurations that `entries` returns
    become models of the zoo:

        [project.entry-points."deeprnn_keras.families"]
        parity = "deeprnn_parity:Parity"

    Attributes:
        name: Name of the task, as in `deeprnn list --task NAME` and `config.task`.
        order: Position on the zoo's page; families with equal numbers are sorted by name.
        intended_use: Intended use of the models, for their cards.
        limits: Limitations of the models, for their cards.
        unsupported_options: Options of `deeprnn train` that the family does not support.
        program_kinds: Kinds of the programs of the family's models, which commands such as `deeprnn generate` use
            instead of the models: `attributes["kind"]` of a `Program`.
        files: `(label, file name)` of the files that the report of a finished run lists.

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
    intended_use: ClassVar[str] = "comparison of recurrent networks"
    limits: ClassVar[str] = ""
    unsupported_options: ClassVar[tuple[str, ...]] = ("quick", "bptt", "stateful", "processes", *OTHER_FILES)
    program_kinds: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[tuple[str, str], ...]] = (
        ("model", MODEL),
        ("program", PROGRAM),
        ("history", HISTORY),
        ("results", RESULT),
    )

    # === Configurations and models ===
    def entries(self) -> Sequence[Configuration]:
        """Return the configurations that the family adds to the zoo."""
        return ()

    def accepts(self, model: keras.Model) -> bool:
        """Return whether the family supports a model whose name is not that of a zoo model.

        By default it supports none.
        """
        return False

    def loss(self, model: keras.Model) -> str | Callable[[Tensor, Tensor], Tensor]:
        """Return the loss for `model.compile`; by default the result of `model.loss_function()`."""
        return model.loss_function()

    def metrics(self, model: keras.Model) -> list[keras.metrics.Metric]:
        """Return the metrics for `model.compile`; by default the result of `model.metric_functions()`, if defined."""
        return model.metric_functions() if hasattr(model, "metric_functions") else []

    def weighted_metrics(self, model: keras.Model) -> list[keras.metrics.Metric]:
        """Return the metrics for `model.compile` that use the sample weights of `batches`; by default none."""
        return []

    # === Data ===
    def load_data(self, config: Configuration | None, path: Path | None = None) -> TaskData:
        """Load the data of a configuration.

        Args:
            config: A configuration of this family, or None for a model that is not in the zoo.
            path: File passed with --data; None loads the data that are included in the package.

        Returns:
            A `Split`. A family that returns another type must override the methods that read it.

        Raises:
            ValueError: If there are no data for the configuration, or the file is missing or not supported.
        """
        raise NotImplementedError(f"task family {self.name!r} must define load_data")

    def load_files(self, config: Configuration | None, files: DataFiles) -> TaskData:
        """Load the data of a configuration from the files of the command line; see `load_data`.

        By default, official splits in several files, and pairs of recordings, are not supported.

        Args:
            config: A configuration of this family, or None for a model that is not in the zoo.
            files: Files passed with --data, --valid, and --test.

        Raises:
            ValueError: As for `load_data`, and if --valid, --test, --dry, or --wet are passed but not supported.
        """
        self.refuse_files({**files.official(), **files.recordings()})
        return self.load_data(config, files.data)

    def refuse_files(self, files: Collection[str]) -> None:
        """Raise a ValueError if files were passed with options that the family does not support.

        Args:
            files: Names of these options, as far as they were passed.
        """
        if files:
            options = flags(files)
            raise ValueError(f"task family {self.name!r} does not support {options}; leave out {options}")

    def data_included(self, config: Configuration) -> bool:
        """Return whether the package includes the data of a configuration.

        If so, `deeprnn train --publish` refuses a run that was trained on another file.
        """
        return False

    def configure(self, config: ConfigurationT, data: TaskData) -> ConfigurationT:
        """Return a configuration adapted to data, for example to its vocabulary.

        Args:
            config: A configuration of this family.
            data: Data returned by `load_files`.
        """
        return config

    def describe_data(self, data: TaskData) -> str:
        """Return the name and size of `data` for the first line of a report."""
        return data.name

    def data_record(self, data: TaskData) -> dict[str, Any]:
        """Return the fields of result.json that describe `data`."""
        return {"data": data.name}

    def batches(
        self, model: keras.Model, part: DataPart, batch_size: int, *, shuffle: bool = True, seed: int | None = None
    ) -> Batches:
        """Return batches of one part of the data, as a dataset with a settable position.

        Args:
            model: The model that reads the batches.
            part: `data.train`, `data.test`, or `data.validation`.
            batch_size: Number of examples per batch, n.
            shuffle: If True, shuffle the examples in every epoch.
            seed: Random seed for shuffling.
        """
        from deeprnn_keras.data.arrays import ArrayDataset

        return ArrayDataset(*part, batch_size=batch_size, shuffle=shuffle, seed=seed)

    # === Training ===
    def train(
        self,
        model: keras.Model,
        data: TaskData,
        recipe: Recipe,
        directory: PathLike,
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

        The saved model has the weights of the epoch with the lowest validation loss, or of the last epoch if there are
        no validation data. After Ctrl-C it has the current weights; after a non-finite loss, the last finite ones. An
        interrupted run continues with `resume=True` and produces the same result as an uninterrupted one; see `Resume`.

        After `deeprnn_keras.training.distribute`, all processes call it with the same arguments; the first one writes
        the output directory and computes the score.

        Args:
            model: The model; it is compiled according to the recipe.
            data: Data returned by `load_data`.
            recipe: The training recipe.
            directory: Output directory, which must be empty or not exist; with `resume`, the directory of the
                interrupted run.
            quick: Shorten the recipe to about two minutes on 2 cores.
            updates: Maximum number of updates, instead of the recipe's.
            deadline: Unix time (`time.time()`) at which training ends; None for no limit.
            seed: Random seed for shuffling, dropout, and sampling.
            title: Title of the plot of the learning curve, if the family saves one.
            console: A `rich.console.Console` for progress; None creates one.
            resume: Continue the run in `directory`. The model, data, recipe, and seed must be unchanged.
            settings: JSON values to store in run.json, from which a resumed run is set up.

        Returns:
            The outcome of the run.

        Raises:
            ValueError: If the directory is in use, or the data do not fit the model. With `resume`, if the directory
                holds no unfinished run or a different one.
        """
        import keras
        from rich.console import Console

        from deeprnn_keras.training.device import device_name
        from deeprnn_keras.writing import save_json, save_model, save_table

        quick, resume = checks.flags(quick=quick, resume=resume)
        updates = checks.positive_int_or_none("updates", updates)
        directory, console, start = run_directory(directory, resume), console or Console(), time.monotonic()
        replace_unprintable()
        keras.utils.set_random_seed(seed)
        plan = self.plan(model, data, recipe, seed=seed, quick=quick, updates=updates)
        with locked_run_directory(directory, resume, settings) as directory:
            plan.recipe.compile(model, self.loss(model), self.metrics(model), self.weighted_metrics(model))
            run, (history, *displays) = self.new_run(directory), self.callbacks(model, console)
            fit(run, model, plan, history, displays, deadline)
            save_model(model, run.model_path)
            if (reason := save_program(model, run.program_path)) is not None:
                console.print(f"The model is saved without a program: {reason}", markup=False, soft_wrap=True)
            save_table(history.epochs, directory / HISTORY)
            if not processes.is_first():
                return run
            with processes.single_process_model(model, run.model_path) as scored:
                self.finish(run, scored, data, recipe, history, title=title, seed=seed, console=console)
            result = {
                "model": model.name,
                "num_params": model.count_params(),
                **self.data_record(data),
                "ending": run.ending,
                **self.score_record(run, data),
                "recipe": recipe_record(plan.recipe),
                "updates": getattr(history, "update", int(model.optimizer.iterations)),
                **({} if "quick" in self.unsupported_options else {"quick": quick}),
                "seed": seed,
                "seconds": round(time.monotonic() - start, 1),
                "resumed_at_update": run.resumed_at or None,
                **({"processes": count} if (count := processes.process_count()) > 1 else {}),
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
        data: TaskData,
        recipe: Recipe,
        *,
        seed: int,
        quick: bool = False,
        updates: int | None = None,
    ) -> Plan:
        """Return the batches and the number of epochs of a run.

        Args:
            model: As for `train`.
            data: As for `train`.
            recipe: As for `train`.
            seed: As for `train`.
            quick: As for `train`.
            updates: As for `train`.

        Raises:
            ValueError: If the data do not fit the model, or the family does not support `quick` or `updates`.
        """
        if checks.flag("quick", quick) or updates is not None:
            raise ValueError(f"task family {self.name!r} does not support quick and updates; leave them out")
        train = self.training_batches(model, data.train, recipe, seed)
        validation = None if data.validation is None else self.validation_batches(model, data.validation)
        return Plan(recipe, train, validation, recipe.epochs_for(len(train)))

    def training_batches(self, model: keras.Model, part: DataPart, recipe: Recipe, seed: int) -> Batches:
        """Return the batches of a run.

        Args:
            model: The model that reads the batches.
            part: `data.train`.
            recipe: The training recipe.
            seed: Random seed for shuffling.
        """
        return self.batches(model, part, recipe.batch_size, seed=seed)

    def validation_batches(self, model: keras.Model, part: DataPart) -> Batches:
        """Return the batches on which each epoch of a run is validated.

        Args:
            model: The model that reads the batches.
            part: `data.validation`.
        """
        batch_size = processes.current_shard().round_up(VALIDATION_BATCH_SIZE)
        return self.batches(model, part, batch_size, shuffle=False)

    def new_run(self, directory: Path) -> Run:
        """Return the `Run` object of a new run; a subclass of `Run` may have more attributes."""
        return Run(directory)

    def callbacks(self, model: keras.Model, console: Console) -> list[keras.callbacks.Callback]:
        """Return the callbacks that record and display a run.

        The first callback has an attribute `epochs`, a list with one dictionary per epoch, which is saved as
        history.csv.

        Args:
            model: The model to train.
            console: A `rich.console.Console` for progress.
        """
        from deeprnn_keras.training.callbacks import EpochHistory

        return [EpochHistory(console)]

    def finish(
        self,
        run: Run,
        model: keras.Model,
        data: TaskData,
        recipe: Recipe,
        history: keras.callbacks.Callback,
        *,
        title: str | None,
        seed: int,
        console: Console,
    ) -> None:
        """If the run has finished, score the model; save additional files.

        The model and its history are already saved.

        Args:
            run: The run, whose `score` this method sets.
            model: The trained model.
            data: Data returned by `load_data`.
            recipe: The training recipe.
            history: The first callback that `callbacks` returned.
            title: Title of the learning curve, if the family plots one.
            seed: Random seed for sampling.
            console: A `rich.console.Console` for progress.
        """
        if run.ending == "finished":
            with progress.shown(console, "Scoring", "batches"):
                run.score = self.score(model, data.test)

    def score(self, model: keras.Model, part: DataPart) -> dict[str, float | int]:
        """Return `{metric: value}` of a model on one part of the data; by default the loss and metrics.

        If the model is not compiled, it is first compiled with the loss and metrics of the family.

        Args:
            model: A trained model.
            part: `data.train`, `data.test`, or `data.validation`.
        """
        from deeprnn_keras.training.callbacks import ReportProgress

        if not model.compiled:
            metrics = {"metrics": self.metrics(model), "weighted_metrics": self.weighted_metrics(model)}
            model.compile(loss=self.loss(model), **metrics)
        batches = self.batches(model, part, VALIDATION_BATCH_SIZE, shuffle=False)
        values = model.evaluate(batches, verbose=0, return_dict=True, callbacks=[ReportProgress()])
        return {metric: float(value) for metric, value in values.items()}

    def score_record(self, run: Run, data: TaskData) -> dict[str, Any]:
        """Return the fields of result.json that describe the score.

        Args:
            run: A finished run.
            data: Data of the run.
        """
        return {"score": run.score}

    def report(self, run: Run, model: keras.Model, console: Console) -> None:
        """Print the score of a finished run.

        Args:
            run: The run.
            model: Its model.
            console: A `rich.console.Console`.
        """
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
            config: The zoo's configuration of the same name, or None.
            path: File passed with --data, or None.
            console: A `rich.console.Console`.
            skip_unknown: If True, skip symbols that are not in the model's vocabulary, if the family supports it.

        Raises:
            ValueError: As for `load_data` and `evaluate_data`.
        """
        skip_unknown = checks.flag("skip_unknown", skip_unknown)
        self.evaluate_data(model, config, self.load_data(config, path), console, skip_unknown=skip_unknown)

    def evaluate_data(
        self,
        model: keras.Model,
        config: Configuration | None,
        data: TaskData,
        console: Console,
        *,
        skip_unknown: bool = False,
    ) -> None:
        """Print the score of a trained model on the held-out part of its own data, for `deeprnn evaluate`.

        Args:
            model: A trained model.
            config: The configuration of its run, or None.
            data: Data returned by `load_data` or `load_files`.
            console: A `rich.console.Console`.
            skip_unknown: If True, skip symbols that are not in the model's vocabulary, if the family supports it.

        Raises:
            ValueError: If the family does not support `skip_unknown`; by default it does not.
        """
        if checks.flag("skip_unknown", skip_unknown):
            raise ValueError(f"task family {self.name!r} does not support --skip-unknown; leave it out")
        console.print(f"[bold]{model.name}[/] on {data.name}, test part")
        with progress.shown(console, "Scoring", "batches"):
            score = self.score(model, data.test)
        print_score(score, console)

    def generate(
        self,
        model: keras.Model | Program,
        config: Configuration | None,
        options: Mapping[str, Any],
        console: Console,
    ) -> None:
        """Generate a continuation, for `deeprnn generate`.

        Args:
            model: A trained model; the program of one if its kind is in `program_kinds`.
            config: The zoo's configuration of the same name, or None.
            options: The options passed, by name: prompt, length, temperature, top_k, top_p, min_p, repetition_penalty,
                stop, num_samples, notes, seed, output, data, skip_unknown.
            console: A `rich.console.Console` for messages.

        Raises:
            ValueError: If the family does not support generation or one of the options.
        """
        raise ValueError(f"task family {self.name!r} of model {model.name!r} does not support generation")

    def evaluation_record(self, config: Configuration, model: keras.Model, path: Path | None) -> EvaluationRecord:
        """Return the scores that `deeprnn evaluate --record` stores.

        Args:
            config: A configuration of the zoo.
            model: Its trained model.
            path: File passed with --data, or None.

        Raises:
            ValueError: If the data are not those of the configuration.
        """
        from deeprnn_keras.training.step_time import first_batch

        data = self.load_data(config, path)
        score = self.score(model, data.test)
        metrics = {metric.replace("_", " "): value for metric, value in score.items() if isinstance(value, float)}
        train = self.batches(model, data.train, config.recipe.batch_size, seed=0)
        return EvaluationRecord(data.name, "test", metrics, first_batch(train))

    # === Tuning ===
    def check_tunable(self, config: Configuration) -> None:
        """Raise a ValueError if `deeprnn tune` does not support a configuration; by default it supports none."""
        raise ValueError(
            f"deeprnn tune does not support task family {self.name!r} of model {config.name!r}; "
            f"use HyperDeepRNN(zoo.info({config.name!r})) in a script"
        )

    def trial_batches(self, data: TaskData, recipe: Recipe, steps: int | None, seed: int) -> tuple[Batches, Batches]:
        """Return the training batches and a short validation set for the trials of a search.

        Args:
            data: Data returned by `load_data`.
            recipe: Recipe of a trial.
            steps: Number of updates per epoch; None for one pass over the data.
            seed: Random seed for shuffling.

        Raises:
            NotImplementedError: If the family does not define this method.
        """
        raise NotImplementedError(f"task family {self.name!r} must define trial_batches to support deeprnn tune")

    def objective_unit(self, data: TaskData) -> tuple[str, float]:
        """Return the name of the search objective, and the factor that converts the validation loss to it."""
        return "validation loss", 1.0

    def search_record(self, data: TaskData) -> dict[str, Any]:
        """Return JSON values that identify the data of a search; by default those of `data_record`."""
        return self.data_record(data)

    # === Options ===
    def check_options(self, config: Configuration, options: Mapping[str, Any]) -> None:
        """Raise a ValueError if an option of `deeprnn train` is not supported.

        Args:
            config: A configuration of this family.
            options: The options by name; None for those that were not passed.
        """
        unsupported = [name for name in self.unsupported_options if options.get(name) is not None]
        if unsupported:
            options_text = flags(unsupported)
            raise ValueError(
                f"task family {self.name!r} of model {config.name!r} does not support {options_text}; leave out "
                f"{options_text}"
            )


def check_generation_options(
    models: str, options: Mapping[str, Any], *, required: str, optional: Collection[str]
) -> None:
    """Raise a ValueError if the required option of `deeprnn generate` is missing, or an option has no effect.

    Args:
        models: Description of the models: "language models".
        options: The options passed, by name.
        required: Name of the option that must be passed.
        optional: Names of the other options that have an effect.
    """
    unsupported = [name for name in options if name != required and name not in optional]
    if unsupported:
        raise ValueError(f"{models} do not support {flags(unsupported)}; leave out {flags(unsupported)}")
    if required not in options:
        raise ValueError(f"{models} require {flags([required])}, got {flags(options)}")


def flags(names: Iterable[str]) -> str:
    """Return the options `names` in the notation of the command line, for messages: "--epochs, --skip-unknown"."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in names) or "no options"
