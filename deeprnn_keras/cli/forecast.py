"""The command `deeprnn forecast`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from deeprnn_keras.cli.exit_codes import INTERRUPTED
from deeprnn_keras.cli.forecast_options import ForecastOptions, new_options, resumed_options
from deeprnn_keras.cli.forecast_pieces import FORECAST, MODEL, forecast_pieces, saved_forecaster

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from deeprnn_keras import Forecaster
    from deeprnn_keras.forecasting import Evaluation, ZeroShotForecaster
    from deeprnn_keras.forecasting.panel import Panel
    from deeprnn_keras.zoo import Configuration

WINDOWS = 20
MAX_HELD_OUT = 0.25  # of the shortest series


def _columns(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Convert 'price,promotion' to ('price', 'promotion')."""
    return tuple(name.strip() for name in value.split(",")) if value else ()


@click.command()
@click.argument("model", metavar="MODEL")
@click.option(
    "--csv",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Series: a CSV or Parquet file, or a directory of such files; required.",
)
@click.option("--time", metavar="COLUMN", help="Column of the time stamps; required.")
@click.option("--target", metavar="COLUMN", help="Column of the values to forecast; required.")
@click.option("--id", metavar="COLUMN", help="Column of the names of the series.  [default: one series]")
@click.option(
    "--static", metavar="COLUMNS", callback=_columns, help="Columns that are constant in each series, comma-separated."
)
@click.option(
    "--known-future",
    metavar="COLUMNS",
    callback=_columns,
    help="Columns that are known in advance, comma-separated. Rows after the last value of the target, where it is "
    "empty, hold their future values.",
)
@click.option("--horizon", type=int, help="Number of steps to forecast.  [default: that of MODEL]")
@click.option("--frequency", help="Frequency of the series, for example h, 15min, D, B, W, M.  [default: inferred]")
@click.option("--season", type=int, help="Number of steps of a season.  [default: usual for the frequency]")
@click.option("--epochs", type=int, help="Maximum number of epochs.")
@click.option("--seed", type=int, help="Random seed for initialization, shuffling, and dropout.  [default: 0]")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    required=True,
    help="Output directory; must not exist, except with --resume.",
)
@click.option("--resume", is_flag=True, help="Resume the unfinished run in --output with its original options.")
def forecast(model: str, output: Path, resume: bool, **passed: Any) -> None:
    """Forecast series in a file.

    MODEL is a forecaster of the zoo (deeprnn list --task forecasting), which is trained on the series. The network is
    compared with simple methods on the last part of each series, which is held out of training. DIRECTORY receives
    forecast.csv, forecast.png, and the model, which Forecaster.load reads. A zero-shot forecaster (deeprnn list --task
    zero-shot) is not trained on the series; ZeroShotForecaster.load reads its model.

    If MODEL is the directory of a trained forecaster, nothing is trained, and DIRECTORY receives forecast.csv. The
    table is read in pieces and may be larger than memory; the rows of each series must follow each other.

    Ctrl-C stops the run and keeps its checkpoints. --resume continues an interrupted run and needs no other option than
    --output; the result is identical to that of an uninterrupted run.
    """
    from rich.console import Console

    from deeprnn_keras import checks, zoo
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow

    console = Console()
    options = resumed_options(model, output, passed) if resume else new_options(model, passed)
    saved = None if resume else saved_forecaster(model)
    if saved is not None:
        forecast_pieces(saved, options, output, console)
        return
    covariates = (*options.static, *options.known_future)
    config = _check_model(model, options.overrides(), covariates)  # before any slow operation
    output = output.expanduser() if resume else checks.new_directory("--output", output)
    frame = _read(options, covariates)
    start_tensorflow(console)
    if resume:
        console.print(f"Resuming the run in {escape(str(output))}", soft_wrap=True)
    run = _forecast_directly if isinstance(config, zoo.ZeroShotConfig) else _run
    try:
        run(options, frame, output, console)
    except KeyboardInterrupt:
        _print_interrupted(model, output, console)
        sys.exit(INTERRUPTED)


def _check_model(name: str, overrides: dict[str, Any], covariates: tuple[str, ...]) -> Configuration:
    """Return the configuration of a forecaster.

    Raises:
        ValueError: If the model is not a forecaster, or an option is out of range or not supported.
    """
    from deeprnn_keras import zoo

    config = zoo.info(name)
    if isinstance(config, zoo.ForecasterConfig):
        return zoo.info(name, **overrides)
    if not isinstance(config, zoo.ZeroShotConfig):
        known = ", ".join([*zoo.list_models(task="forecasting"), *zoo.list_models(task="zero-shot")])
        raise ValueError(f"{name} is not a forecaster; the forecasters are {known}")
    unsupported = "--epochs" if "epochs" in overrides else "covariates" if covariates else None
    if unsupported:
        raise ValueError(f"{name} is not trained on the series and does not support {unsupported}; leave it out")
    return config


# === Reading ===


def _read(options: ForecastOptions, covariates: tuple[str, ...]) -> pd.DataFrame:
    """Return the columns of a table under the names of a long frame.

    Raises:
        ValueError: If the file is missing or not a table, or lacks a column.
    """
    from deeprnn_keras.extras import import_optional
    from deeprnn_keras.forecasting.tables import read_tables

    pandas = import_optional("pandas", "forecast", "Reading tables")
    return pandas.concat(read_tables(Path(options.csv), options.table_columns(covariates)), ignore_index=True)


# === Training and results ===


def _run(options: ForecastOptions, frame: pd.DataFrame, output: Path, console: Console) -> None:
    """Train a forecaster, or resume its training, and write the results."""
    from deeprnn_keras import zoo
    from deeprnn_keras.locking import DirectoryLock
    from deeprnn_keras.tasks.run import CHECKPOINTS

    forecaster = zoo.create_forecaster(options.model, **options.overrides(), **options.of_the_data())
    windows = _held_out_windows(forecaster, frame, console)
    forecaster = _fit(forecaster, options, frame, windows, output, console)
    with DirectoryLock(output / CHECKPOINTS):
        evaluation = forecaster.evaluate(frame, windows, console=console)
        _write(forecaster, frame, evaluation, forecaster.forecast(frame, seed=0), options, output)
    shutil.rmtree(output / CHECKPOINTS)


def _held_out_windows(forecaster: Forecaster, frame: pd.DataFrame, console: Console) -> int:
    """Print a description of the series, and return the number of their last windows that are held out."""
    from deeprnn_keras.forecasting.frames import read_panel

    arguments = forecaster.arguments
    panel, _ = read_panel(frame, arguments.covariates, given=arguments.frequency)
    panel.check_future(forecaster.horizon)
    season = arguments.season or panel.frequency.season
    windows = _num_windows(panel, forecaster.horizon)
    _describe(panel, season, windows, forecaster.horizon, "are held out", console)
    return windows


def _forecast_directly(options: ForecastOptions, frame: pd.DataFrame, output: Path, console: Console) -> None:
    """Evaluate a zero-shot forecaster, and write its forecast."""
    from deeprnn_keras import zoo

    config = zoo.info(options.model)
    assert isinstance(config, zoo.ZeroShotConfig)  # as `forecast` has found
    of_data: dict[str, Any] = {"frequency": options.frequency, "season": options.season}
    forecaster = config.create_forecaster(pretrained=True, **options.overrides(), **of_data)
    panel, _ = forecaster.read_panel(frame)
    season, _ = forecaster.seasons(panel)
    horizon = forecaster.default_horizon(season)
    windows = _num_windows(panel, horizon)
    _describe(panel, season, windows, horizon, "are compared with simple methods; no training", console)
    evaluation = forecaster.evaluate(frame, windows, console=console)
    output.mkdir(parents=True, exist_ok=True)
    forecaster.fit(frame).save(output / MODEL)
    _write(forecaster, frame, evaluation, forecaster.forecast(), options, output)


def _num_windows(panel: Panel, horizon: int) -> int:
    return max(1, min(WINDOWS, int(MAX_HELD_OUT * int(panel.lengths.min())) // horizon))


def _describe(panel: Panel, season: int, windows: int, horizon: int, use: str, console: Console) -> None:
    missing = int((panel.y != panel.y).sum())
    console.print(
        f"{len(panel)} series, {int(panel.lengths.sum()):,} steps of {panel.frequency} ({missing:,} missing), season "
        f"of {season} steps; the last {windows} windows of {horizon} steps {use}",
        soft_wrap=True,
    )


def _fit(
    forecaster: Forecaster,
    options: ForecastOptions,
    frame: pd.DataFrame,
    windows: int,
    output: Path,
    console: Console,
) -> Forecaster:
    """Return the forecaster, trained without the last windows, and save it; a saved one is loaded.

    The output directory is created when training begins, so that invalid data leave none behind.
    """
    import keras
    import msgspec

    from deeprnn_keras.forecasting.saving import ARGUMENTS
    from deeprnn_keras.tasks.run import CHECKPOINTS, SETTINGS
    from deeprnn_keras.writing import save_json

    path = output / MODEL
    if (path / ARGUMENTS).is_file():
        return type(forecaster).load(path)
    settings = msgspec.to_builtins(options)
    store = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: save_json(settings, output / SETTINGS))
    forecaster.fit(
        frame,
        holdout=windows * forecaster.horizon,
        callbacks=[store],
        resume=output / CHECKPOINTS,
        console=console,
    )
    shutil.rmtree(path, ignore_errors=True)  # an incomplete one of an interrupted run
    forecaster.save(path)
    return forecaster


def _write(
    forecaster: Forecaster | ZeroShotForecaster,
    frame: pd.DataFrame,
    evaluation: Evaluation,
    forecasts: pd.DataFrame,
    options: ForecastOptions,
    output: Path,
) -> None:
    """Print the evaluation, and write the forecast and the plot."""
    from deeprnn_keras.training.plotting import save_figure
    from deeprnn_keras.writing import atomic_write

    click.echo(str(evaluation))
    with atomic_write(output / FORECAST) as temporary_path:
        forecasts.to_csv(temporary_path, index=False)
    figure = forecaster.plot(frame)
    if options.id is None:
        figure.axes[0].set_ylabel(options.target)
    save_figure(figure, output / "forecast.png")
    click.echo(f"Saved forecast.csv, forecast.png, and {MODEL} in {output}")


def _print_interrupted(model: str, output: Path, console: Console) -> None:
    """Print how to resume the run, unless it has no checkpoints."""
    from deeprnn_keras.tasks.run import CHECKPOINTS

    directory = escape(str(output))
    if not (output / CHECKPOINTS).is_dir():
        console.print("[yellow]Interrupted.[/] There is nothing to resume.")
        return
    console.print(f"[yellow]Interrupted.[/] Checkpoints are saved in {directory}", soft_wrap=True)
    console.print(f"Resume with: deeprnn forecast {model} --resume --output {directory}", soft_wrap=True)
