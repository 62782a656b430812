"""The command `deeprnn tune`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from deeprnn_keras.cli.model_argument import TEST_OPTION, VALID_OPTION, data_option
from deeprnn_keras.cli.option_types import OWN, ParameterCount, RangeOption
from deeprnn_keras.cli.tune_options import SETTINGS_FILE, resolve_options, to_json
from deeprnn_keras.data.data_files import DataFiles

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras._types import Config
    from deeprnn_keras.tuning.search import Search
    from deeprnn_keras.zoo import Configuration

ALGORITHMS = ("bayesian", "random", "hyperband", "grid")
MINUTES = click.FloatRange(min=0.0, min_open=True)
TUNER_ID = "KERASTUNER_TUNER_ID"


def _range_option(flag: str, target: str, number: type, description: str) -> Callable[..., Any]:
    return click.option(flag, target, type=RangeOption(number), metavar="RANGE", help=description)


@click.command()
@click.argument("name")
@data_option("Training data, as for deeprnn train.  [default: the data of NAME]")
@VALID_OPTION
@TEST_OPTION
@_range_option("--layers", "num_layers", int, "Number of recurrent layers, L.  [default: 1:4]")
@_range_option("--units", "units", int, "Hidden units of all layers, h.  [default: 32:512]")
@_range_option("--cell", "cell", str, "Cells: rnn, gru, lstm, rhn, ...  [default: lstm,gru,rnn]")
@_range_option(
    "--connection",
    "connection",
    str,
    "Connection between layers: stack, residual, or skip; varied only if L >= 3.  [default: stack,residual]",
)
@_range_option("--input-dropout", "input_dropout", float, "Dropout rate on the input.  [default: own]")
@_range_option("--dropout", "dropout", float, "Dropout rate between layers, if L >= 2.  [default: 0:0.7]")
@_range_option("--output-dropout", "output_dropout", float, "Dropout rate before the head.  [default: own]")
@_range_option("--learning-rate", "learning_rate", float, "Base learning rate.  [default: 1e-4:1e-2]")
@_range_option("--clipnorm", "global_clipnorm", float, "Global norm to clip gradients to.  [default: 0.25,1,5,10]")
@_range_option("--forget-bias", "forget_bias", float, "Initial forget bias of cells that have one.  [default: 0,1,5]")
@_range_option("--batch-size", "batch_size", int, "Windows or series per update, n.  [default: own]")
@_range_option("--bptt", "bptt", int, "Time steps per window, T.  [default: own]")
@click.option(
    "--params",
    type=ParameterCount(),
    help="Number of parameters of every model: h is computed from L and the cell, within --units.",
)
@click.option("--max-params", type=ParameterCount(), help="Maximum number of parameters.")
@click.option("--max-step-ms", type=float, help="Maximum duration of a training step on this machine, in ms.")
@click.option("--algorithm", type=click.Choice(ALGORITHMS), help="Search algorithm.  [default: bayesian]")
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    metavar="INTEGER",
    help="Maximum number of trials.  [default: 20; no limit for grid and hyperband]",
)
@click.option(
    "--minutes",
    type=MINUTES,
    metavar="FLOAT",
    help="Time limit in minutes, including retraining the best model; it determines the updates per trial.",
)
@click.option(
    "--updates",
    type=click.IntRange(min=4),
    metavar="INTEGER",
    help="Updates per trial.  [default: as many as --minutes permits, or about one minute]",
)
@click.option(
    "--storage",
    metavar="URL",
    help="Share the search with deeprnn tune-worker on other machines: URL of a database, or path of a journal file.",
)
@click.option("--study", metavar="NAME", help="Name of the search in --storage.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="INTEGER",
    default=1,
    show_default=True,
    help="Number of parallel trials.",
)
@click.option(
    "--seed",
    type=int,
    help="Random seed for the search algorithm, initialization, shuffling, and dropout.  [default: 0]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Output directory; must not exist, except with --resume.  [default: runs/tune_NAME, numbered if taken]",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Resume the unfinished search in --output; without --output, the most recent one of NAME in ./runs.",
)
def tune(
    name: str,
    data: Path | None,
    valid: Path | None,
    test: Path | None,
    output: Path | None,
    resume: bool,
    workers: int,
    storage: str | None,
    **options: Any,
) -> None:
    """Search for L, h, and other hyperparameters of zoo model NAME.

    RANGE is LOW:HIGH, comma-separated values, or one value; "own" is the value of NAME. The report contains a table of
    the best configurations, a heat map over L and h, a plot of the objective against the number of parameters, and the
    importance of each hyperparameter. The best model is trained from scratch and saved as a preset, which
    zoo.create_model loads.

    --resume continues a search after Ctrl-C or a kill; the trials that were running start again.

    With --storage and --study, deeprnn tune-worker runs trials of the search on other machines. With --resume, pass
    --storage again: it is not stored, because a URL may contain a password.
    """
    from rich.console import Console

    from deeprnn_keras.locking import DirectoryLock
    from deeprnn_keras.writing import save_json

    console = Console()
    options = {key: value for key, value in options.items() if value is not None}
    child = TUNER_ID in os.environ
    resume = resume or (child and output is not None and (output / SETTINGS_FILE).is_file())
    files = DataFiles(data, valid, test)
    directory, settings = resolve_options(name, output, files, options, resume, child)
    _check_storage(storage, settings["search"].get("study"), workers, child)
    shared = {} if storage is None else {"storage": storage, "study_settings": to_json(settings)}
    search, config = create_search(name, directory, settings, workers, console, **shared)
    directory.mkdir(parents=True, exist_ok=True)
    if child:
        if "chief" in os.environ[TUNER_ID]:
            save_json(to_json(settings), directory / SETTINGS_FILE)
        search.run_as_child()
        return
    with DirectoryLock(directory):
        resolve_options(name, directory, files, options, resume, child)  # no other process has used it in the meantime
        save_json(to_json(settings), directory / SETTINGS_FILE)
        code = _run(search, config, name, console)
    sys.exit(code)


def _check_storage(storage: str | None, study: str | None, workers: int, child: bool) -> None:
    """Raise a ValueError if the options of a shared search do not fit."""
    if (storage is None) != (study is None):
        passed, missing = ("--study", "--storage") if storage is None else ("--storage", "--study")
        raise ValueError(f"{passed} requires {missing}; pass both, or neither")
    if storage is not None and workers > 1:
        raise ValueError(
            f"--workers must be 1 with --storage, got {workers}; start deeprnn tune-worker for each further process"
        )
    if storage is not None and child:
        raise ValueError(f"--storage is not supported with the environment variable {TUNER_ID}; unset it")


def create_search(
    name: str, directory: Path, settings: Config, workers: int, console: Console, **shared: Any
) -> tuple[Search, Configuration]:
    """Return the search and the configuration to tune.

    Args:
        name: Name of the model.
        directory: Output directory.
        settings: Settings of the search.
        workers: Number of processes that run trials.
        console: Console for messages.
        **shared: Further arguments of `SharedSearch`, if the search has a storage.
    """
    from deeprnn_keras import zoo
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow

    config = zoo.info(name)
    family = config.family
    family.check_tunable(config)
    data = family.load_files(config, DataFiles.from_settings({**settings, "data": settings["text"]}))
    start_tensorflow(console)
    from deeprnn_keras.tuning import HyperDeepRNN

    if shared:
        from deeprnn_keras.tuning.shared_search import SharedSearch as Search
    else:
        from deeprnn_keras.tuning.search import Search

    config = cast("Configuration", family.configure(config, data))
    ranges = {key: None if value is OWN else value for key, value in settings["ranges"].items()}
    hyper = HyperDeepRNN(config, **ranges, **settings["budget"])
    search = Search(hyper, family, data, directory, workers=workers, **settings["search"], **shared)
    search.batches(search.largest_recipe())  # raises an error if there are too few data, before anything is written
    return search, config


def _run(search: Search, config: Configuration, name: str, console: Console) -> int:
    """Search, train the best configurations with further seeds, and finish; return the exit code."""
    from rich.markup import escape

    from deeprnn_keras.cli.exit_codes import INTERRUPTED

    space = ", ".join(f"{key.replace('_', ' ')} {text}" for key, text in search.hyper.space.describe().items())
    console.print(f"[bold]{name}[/] on {escape(search.data.name)}: {space}", highlight=False)
    # command of each worker; with --resume it loads the settings and the plan of this search
    command = [sys.executable, "-m", "deeprnn_keras.cli", "tune", name, "--resume", "--output", str(search.directory)]
    try:
        search.plan()
        console.print(
            f"Algorithm {search.algorithm}, {search.updates:,} updates per trial; "
            f"results are saved in {escape(str(search.directory))}",
            highlight=False,
            soft_wrap=True,
        )
        if not search.run(console, command).rows:
            raise ValueError(
                f"no trial was completed within --minutes {search.minutes}; start a new search with a higher time "
                f"limit (the records of this one are in {str(search.directory)!r})"
            )
        search.confirm(console)
        return _finish(search, console)
    except RuntimeError as error:  # raised if trials or workers fail repeatedly
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        search.time_budget.store(now=True)
        console.print(f"[yellow]Interrupted.[/] Resume with: deeprnn tune {name} --resume --output {search.directory}")
        return INTERRUPTED


def _finish(search: Search, console: Console) -> int:
    """Report the results, and retrain and save the best model; return the exit code."""
    from deeprnn_keras import zoo
    from deeprnn_keras.cli.run_report import print_end, print_files
    from deeprnn_keras.tuning.importance import hyperparameter_importance

    results = search.results()
    console.print(results.table())
    importance = hyperparameter_importance(results)
    if importance is not None:
        console.print(str(importance), highlight=False)
    files = results.save(search.directory)
    best = results.best()
    console.print(f"Retraining the best configuration: {best.cell} {best.layers} x {best.units_label}", highlight=False)
    run, model = search.retrain(console)
    if run.ending == "interrupted":
        raise KeyboardInterrupt
    code = print_end(search.family, run, model, console)
    if code == 0:
        zoo.save_preset(model, search.directory / "preset")
        print_files([("preset", search.directory / "preset")], console)
    print_files([(path.stem.replace("_", " "), path) for path in files], console)
    return code
