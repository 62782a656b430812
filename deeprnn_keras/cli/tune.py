"""`deeprnn tune`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deeprnn_keras.cli.option_types import OWN, Amount, RangeOption
from deeprnn_keras.cli.tune_options import SETTINGS, resolve_options, to_json

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras.tuning.search import Search
    from deeprnn_keras.zoo import Configuration

ALGORITHMS = ("bayesian", "random", "hyperband", "grid")
MINUTES = click.FloatRange(min=0.0, min_open=True)


def _range(flag: str, target: str, number: type, words: str) -> Callable:
    return click.option(flag, target, type=RangeOption(number), metavar="RANGE", help=words)


@click.command()
@click.argument("name")
@click.option("--text", "--data", "data", type=click.Path(path_type=Path), help="Data file; else the model's own data.")
@_range("--layers", "num_layers", int, "L.  [default: 1:4]")
@_range("--units", "units", int, "h of all layers.  [default: 32:512]")
@_range("--cell", "cell", str, "Comma-separated names.  [default: lstm,gru,rnn]")
@_range("--connection", "connection", str, "stack, residual, skip, where L >= 3.  [default: stack,residual]")
@_range("--input-dropout", "input_dropout", float, "Dropout rate on the input.  [default: own]")
@_range("--dropout", "dropout", float, "Dropout rate between layers.  [default: 0:0.7]")
@_range("--output-dropout", "output_dropout", float, "Dropout rate before the head.  [default: own]")
@_range("--learning-rate", "learning_rate", float, "Base learning rate.  [default: 1e-4:1e-2]")
@_range("--clipnorm", "global_clipnorm", float, "Global norm to clip gradients to.  [default: 0.25,1,5,10]")
@_range("--forget-bias", "forget_bias", float, "Forget bias of gated cells.  [default: 0,1,5]")
@_range("--batch-size", "batch_size", int, "n.  [default: own]")
@_range("--bptt", "bptt", int, "T.  [default: own]")
@click.option("--params", type=Amount(), help="Number of weights of every model: h is solved within --units.")
@click.option("--max-params", type=Amount(), help="Maximum number of weights.")
@click.option("--max-step-ms", type=float, help="Maximum duration of a training step, measured on this machine.")
@click.option("--algorithm", type=click.Choice(ALGORITHMS), help="[default: bayesian]")
@click.option(
    "--trials", type=click.IntRange(min=1), help="Number of configurations.  [default: 20; grid, hyperband: all]"
)
@click.option("--minutes", type=MINUTES, help="Time for everything; it determines the length of trials.")
@click.option("--updates", type=click.IntRange(min=4), help="Updates of a trial.  [default: about one minute's]")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Number of parallel trials.")
@click.option("--seed", type=int, help="Random seed for draws, initialization, shuffling, and dropout.  [default: 0]")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Output directory; must not exist.  [default: runs/tune_NAME, numbered if taken]",
)
@click.option("--resume", is_flag=True, help="Continue the search in --output, or the most recent one.")
def tune(name: str, data: Path | None, output: Path | None, resume: bool, workers: int, **given: Any) -> None:
    """Find L, h, and other hyper-parameters for zoo model NAME.

    RANGE is LOW:HIGH, comma-separated values, one value, or "own": the value of NAME. The search reports a table of the
    best configurations, a heat map over L and h, the objective against the number of weights, the importance of each
    hyper-parameter, and the best model, trained from scratch and saved as a preset that zoo.create_model loads.

    After Ctrl-C or a kill, --resume continues; only running trials are lost. Several machines share a search through
    keras-tuner's variables KERASTUNER_TUNER_ID (one of them "chief"), KERASTUNER_ORACLE_IP, KERASTUNER_ORACLE_PORT and
    a common --output; a last run with --resume and without the variables finishes it.
    """
    from rich.console import Console

    console = Console()
    given = {key: value for key, value in given.items() if value is not None}
    child = "KERASTUNER_TUNER_ID" in os.environ
    output, settings = resolve_options(name, output, data, given, resume or (child and _started(output)), child)
    search, config = _search(name, output, settings, workers, console)
    if child:
        search.run_as_child()
        return
    sys.exit(_run(search, config, name, workers, console))


def _started(output: Path | None) -> bool:
    return output is not None and (output / SETTINGS).is_file()


def _search(
    name: str, output: Path, settings: dict[str, Any], workers: int, console: Console
) -> tuple[Search, Configuration]:
    """Return the search and the configuration to tune; store the settings."""
    from deeprnn_keras import zoo
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow
    from deeprnn_keras.training.files import save_json

    config = zoo.info(name)
    family = config.family
    family.check_tunable(config)
    data = family.load_data(config, settings["text"] and Path(settings["text"]))
    start_tensorflow(console)
    from deeprnn_keras.tuning import HyperDeepRNN
    from deeprnn_keras.tuning.search import Search

    config = family.configure(config, data)
    ranges = {key: None if value is OWN else value for key, value in settings["ranges"].items()}
    hyper = HyperDeepRNN(config, **ranges, **settings["budget"])
    search = Search(hyper, family, data, output, workers=workers, **settings["search"])
    search.batches(search.largest_recipe())  # too little data are refused before anything is written
    output.mkdir(parents=True, exist_ok=True)
    if "KERASTUNER_TUNER_ID" not in os.environ or "chief" in os.environ["KERASTUNER_TUNER_ID"]:
        save_json(to_json(settings), output / SETTINGS)
    return search, config


def _run(search: Search, config: Configuration, name: str, workers: int, console: Console) -> int:
    """Search, train with further seeds, report, and retrain the best model; return the exit code."""
    from rich.markup import escape

    from deeprnn_keras.cli.exit_codes import INTERRUPTED

    space = ", ".join(f"{key.replace('_', ' ')} {words}" for key, words in search.hyper.space.describe().items())
    console.print(f"[bold]{name}[/] on {escape(search.data.name)}: {space}", highlight=False)
    # every worker runs this command with --resume: settings and plan are on disk
    command = [sys.executable, "-m", "deeprnn_keras.cli", "tune", name, "--resume", "--output", str(search.directory)]
    try:
        search.plan()
        console.print(
            f"{search.algorithm} search, trials of {search.updates:,} updates; saved in {escape(str(search.directory))}",
            highlight=False,
            soft_wrap=True,
        )
        if not search.run(console, command).rows:
            raise ValueError(f"no trial was completed in the time; records are in {str(search.directory)!r}")
        search.confirm(console)
        return _finish(search, console)
    except RuntimeError as error:  # trials or workers that fail again and again
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        search.clock.note(now=True)
        console.print(f"[yellow]Interrupted.[/] Resume with: deeprnn tune {name} --resume --output {search.directory}")
        return INTERRUPTED


def _finish(search: Search, console: Console) -> int:
    from deeprnn_keras import zoo
    from deeprnn_keras.cli.run_report import print_end, print_files
    from deeprnn_keras.tuning.importance import importance

    results = search.results()
    console.print(results.table())
    found = importance(results)
    if found is not None:
        console.print(str(found), highlight=False)
    files = results.save(search.directory)
    best = results.best()
    console.print(f"Retraining the best: {best.cell} {best.layers} x {best.shown_units}", highlight=False)
    run, model = search.retrain(console)
    if run.ending == "interrupted":
        raise KeyboardInterrupt
    code = print_end(search.family, run, model, console)
    if code == 0:
        zoo.save_preset(model, search.directory / "preset")
        print_files([("preset", search.directory / "preset")], console)
    print_files([(path.stem.replace("_", " "), path) for path in files], console)
    return code
