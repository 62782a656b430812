"""`deeprnn tune`."""

import os
import sys
from pathlib import Path

import click

from deeprnn_keras.cli.ranges import OWN, Amount, RangeOption
from deeprnn_keras.cli.tuned import SETTINGS, settings_of, settle

ALGORITHMS = ("bayesian", "random", "hyperband", "grid")
MINUTES = click.FloatRange(min=0.0, min_open=True)


def _range(flag, target, number, words):
    return click.option(flag, target, type=RangeOption(number), metavar="RANGE", help=words)


@click.command()
@click.argument("name")
@click.option("--text", type=click.Path(path_type=Path), help="A UTF-8 text file; else the model's own text.")
@_range("--layers", "num_layers", int, "L.  [default: 1:4]")
@_range("--units", "units", int, "h of all layers.  [default: 32:512]")
@_range("--cell", "cell", str, "Names joined by commas.  [default: lstm,gru,rnn]")
@_range("--connection", "connection", str, "stack, residual, skip, where L >= 3.  [default: stack,residual]")
@_range("--input-dropout", "input_dropout", float, "Rate on the input.  [default: own]")
@_range("--dropout", "dropout", float, "Rate between the layers.  [default: 0:0.7]")
@_range("--output-dropout", "output_dropout", float, "Rate before the head.  [default: own]")
@_range("--learning-rate", "learning_rate", float, "[default: 1e-4:1e-2]")
@_range("--clipnorm", "global_clipnorm", float, "Gradient norm.  [default: 0.25,1,5,10]")
@_range("--forget-bias", "forget_bias", float, "Of gated cells.  [default: 0,1,5]")
@_range("--batch-size", "batch_size", int, "n.  [default: own]")
@_range("--bptt", "bptt", int, "T.  [default: own]")
@click.option("--params", type=Amount(), help="Every model has so many weights: h is solved, --units are its bounds.")
@click.option("--max-params", type=Amount(), help="No model has more weights.")
@click.option("--max-step-ms", type=float, help="No training step takes longer, measured here.")
@click.option("--algorithm", type=click.Choice(ALGORITHMS), help="[default: bayesian]")
@click.option(
    "--trials", type=click.IntRange(min=1), help="Configurations to try.  [default: 20; grid, hyperband: all]"
)
@click.option("--minutes", type=MINUTES, help="For everything; the length of trials follows from it.")
@click.option("--updates", type=click.IntRange(min=4), help="Of each trial; without --minutes about one minute's.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Trials at once.")
@click.option("--seed", type=int, help="Of draws, weights, order and dropout.  [default: 0]")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The folder for everything; it must not exist yet. Default: runs/tune_NAME, or that with a number.",
)
@click.option(
    "--resume", is_flag=True, help="Go on with a search that was broken off: the one in --output, or the last."
)
def tune(name, text, output, resume, workers, **given):
    """Finds L, h and the rest for the model NAME of the zoo on a text.

    RANGE is LOW:HIGH, values joined by commas, one value, or "own": as NAME has it. At the end stand a table of the
    best, a heat map over L and h, the objective against the number of weights, what mattered, and the best model,
    trained anew and saved as a preset that zoo.create_model loads.

    Ctrl-C and kills lose nothing but the trials that run: --resume goes on. Several machines share a search through
    keras-tuner's variables KERASTUNER_TUNER_ID (one of them "chief"), KERASTUNER_ORACLE_IP, KERASTUNER_ORACLE_PORT and
    a common --output; run once more with --resume and without the variables it finishes.
    """
    from rich.console import Console

    console = Console()
    given = {key: value for key, value in given.items() if value is not None}
    child = "KERASTUNER_TUNER_ID" in os.environ
    output, settings = settle(name, output, text, given, resume or (child and _begun(output)), child)
    search, config = _search(name, output, settings, workers, console)
    if child:
        search.run_as_child()
        return
    sys.exit(_whole(search, config, name, workers, console))


def _begun(output):
    return output is not None and (output / SETTINGS).is_file()


def _search(name, output, settings, workers, console):
    """-> the `TextSearch`, the configuration that is tuned; writes the settings down."""
    from deeprnn_keras import zoo
    from deeprnn_keras.cli.quiet import load_tensorflow
    from deeprnn_keras.cli.train import corpus_of
    from deeprnn_keras.training.files import save_json

    corpus = corpus_of(zoo.info(name), settings["text"] and Path(settings["text"]))
    load_tensorflow(console)
    from deeprnn_keras.tuning import HyperDeepRNN
    from deeprnn_keras.tuning.text_search import TextSearch

    config = zoo.info(name, vocabulary=corpus.vocabulary.symbols)
    ranges = {key: None if value is OWN else value for key, value in settings["ranges"].items()}
    hyper = HyperDeepRNN(config, **ranges, **settings["budget"])
    search = TextSearch(hyper, corpus, output, workers=workers, **settings["search"])
    search.data(search.largest_recipe())  # a text that is too short is refused before anything is written
    output.mkdir(parents=True, exist_ok=True)
    if "KERASTUNER_TUNER_ID" not in os.environ or "chief" in os.environ["KERASTUNER_TUNER_ID"]:
        save_json(settings_of(settings), output / SETTINGS)
    return search, config


def _whole(search, config, name, workers, console):
    """Search, further seeds, the answer, the best model; -> the exit code."""
    from rich.markup import escape

    from deeprnn_keras.cli.report import INTERRUPTED

    space = ", ".join(f"{key.replace('_', ' ')} {words}" for key, words in search.hyper.space.describe().items())
    console.print(f"[bold]{name}[/] on {escape(search.corpus.name)}: {space}", highlight=False)
    # every worker runs this command with --resume: settings and plan are on disk
    command = [sys.executable, "-m", "deeprnn_keras.cli", "tune", name, "--resume", "--output", str(search.folder)]
    try:
        search.plan()
        console.print(
            f"{search.algorithm} search, trials of {search.updates:,} updates; records in {escape(str(search.folder))}",
            highlight=False,
            soft_wrap=True,
        )
        if not search.run(console, command).rows:
            raise ValueError(f"no trial was completed in the time; records are in {str(search.folder)!r}")
        search.confirm(console)
        return _finish(search, console)
    except RuntimeError as error:  # trials or workers that fail again and again
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        search.clock.note(now=True)
        console.print(f"[yellow]Interrupted.[/] Go on with: deeprnn tune {name} --resume --output {search.folder}")
        return INTERRUPTED


def _finish(search, console):
    from rich.markup import escape

    from deeprnn_keras import zoo
    from deeprnn_keras.cli.report import report
    from deeprnn_keras.tuning.importance import importance

    answer = search.answer()
    console.print(answer.table())
    found = importance(answer)
    if found is not None:
        console.print(str(found), highlight=False)
    files = answer.save(search.folder)
    best = answer.best()
    console.print(f"training the best anew: {best.cell} {best.layers} x {best.shown_units}", highlight=False)
    run, model = search.retrain(console)
    if run.ending == "interrupted":
        raise KeyboardInterrupt
    code = report(run, model, console)
    if code == 0:
        preset = search.folder / "preset"
        zoo.save_preset(model, preset)
        console.print(f"[bold]{'preset':>14}[/]  {escape(str(preset))}", soft_wrap=True)
    for path in files:
        console.print(f"[bold]{path.stem.replace('_', ' '):>14}[/]  {escape(str(path))}", soft_wrap=True)
    return code
