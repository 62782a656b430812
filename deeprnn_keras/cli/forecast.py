"""The command `deeprnn forecast`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from deeprnn_keras import Forecaster
    from deeprnn_keras.forecasting import Evaluation, ZeroShotForecaster
    from deeprnn_keras.forecasting.panel import Panel
    from deeprnn_keras.zoo import Configuration

PARQUET = (".parquet", ".pq")
WINDOWS = 20
MAX_HELD_OUT = 0.25  # of the shortest series


def _columns(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Convert 'price,promotion' to ('price', 'promotion')."""
    return tuple(name.strip() for name in value.split(",")) if value else ()


@click.command()
@click.argument("model", metavar="MODEL")
@click.option(
    "--csv", "path", type=click.Path(path_type=Path), metavar="FILE", required=True, help="Series, CSV or Parquet."
)
@click.option("--time", metavar="COLUMN", required=True, help="Column of the time stamps.")
@click.option("--target", metavar="COLUMN", required=True, help="Column of the values to forecast.")
@click.option("--id", "series", metavar="COLUMN", help="Column of the names of the series.  [default: one series]")
@click.option("--static", metavar="COLUMNS", callback=_columns, help="Columns that are constant in each series.")
@click.option(
    "--known-future",
    metavar="COLUMNS",
    callback=_columns,
    help="Columns that are known in advance, comma-separated. Rows after the last value of the target, where it is "
    "empty, hold their future values.",
)
@click.option("--horizon", type=int, help="Number of steps to forecast.  [default: that of MODEL]")
@click.option("--frequency", help="Frequency of the series, for example h, 15min, D, B, W, M.  [default: inferred]")
@click.option("--season", type=int, help="Steps of a season.  [default: usual for the frequency]")
@click.option("--epochs", type=int, help="Maximum number of epochs.")
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    required=True,
    help="Output directory; must not exist.",
)
def forecast(
    model: str,
    path: Path,
    time: str,
    target: str,
    series: str | None,
    static: tuple[str, ...],
    known_future: tuple[str, ...],
    horizon: int | None,
    frequency: str | None,
    season: int | None,
    epochs: int | None,
    seed: int,
    output: Path,
) -> None:
    """Train a forecaster on series in a file, and forecast them.

    MODEL is a forecaster of the zoo (deeprnn list --task forecasting). The last part of each series is held out, on
    which the network is compared with simple methods. DIRECTORY receives forecast.csv, forecast.png, and the model, for
    Forecaster.load. A zero-shot forecaster (deeprnn list --task zero-shot) is not trained on the series; its model is
    for ZeroShotForecaster.load.
    """
    from rich.console import Console

    from deeprnn_keras import checks, zoo
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow

    console = Console()
    overrides = {name: value for name, value in (("horizon", horizon), ("epochs", epochs)) if value is not None}
    covariates = (*static, *known_future)
    config = _check_model(model, overrides, covariates)  # before any slow operation
    output = checks.new_directory("--output", output)
    frame = _read(path, {"unique_id": series, "ds": time, "y": target}, covariates)
    start_tensorflow(console)
    of_data: dict[str, Any] = {"frequency": frequency, "season": season}
    if isinstance(config, zoo.ZeroShotConfig):
        _forecast_directly(config.create_forecaster(pretrained=True, **overrides, **of_data), frame, output, console)
        return
    of_data |= {"static": static, "known_future": known_future, "seed": seed}
    forecaster = zoo.create_forecaster(model, **overrides, **of_data)
    windows = _fit(forecaster, frame, console)
    evaluation = forecaster.evaluate(frame, windows, console=console)
    _write(forecaster, frame, evaluation, forecaster.forecast(frame, seed=0), output)


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


def _read(path: Path, columns: dict[str, str | None], covariates: tuple[str, ...]) -> pd.DataFrame:
    """Return the columns of a CSV or Parquet file under the names of a long frame.

    Raises:
        ValueError: If the file is missing or not a table, or lacks a column.
    """
    from deeprnn_keras.extras import import_optional

    pandas = import_optional("pandas", "forecast", "Reading tables")
    if not path.is_file():
        raise ValueError(f"--csv {str(path)!r} does not exist; pass a CSV or Parquet file")
    try:
        table = pandas.read_parquet(path) if path.suffix.lower() in PARQUET else pandas.read_csv(path)
    except (
        ValueError,
        OSError,
        ImportError,
    ) as error:
        raise ValueError(f"--csv {str(path)!r} could not be read as a table: {error}") from error
    chosen = {name: column for name, column in columns.items() if column is not None}
    missing = [column for column in (*chosen.values(), *covariates) if column not in table.columns]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}; its columns are {', '.join(map(str, table.columns))}")
    return pandas.DataFrame(
        {**{name: table[column] for name, column in chosen.items()}, **{name: table[name] for name in covariates}}
    )


# === Training and results ===


def _fit(forecaster: Forecaster, frame: pd.DataFrame, console: Console) -> int:
    """Train the forecaster without the last windows, and return their number."""
    from deeprnn_keras.forecasting.frames import read_panel

    arguments = forecaster.arguments
    panel, _ = read_panel(frame, arguments.covariates, given=arguments.frequency)
    panel.check_future(forecaster.horizon)
    season = arguments.season or panel.frequency.season
    windows = _num_windows(panel, forecaster.horizon)
    _describe(panel, season, windows, forecaster.horizon, "are held out", console)
    forecaster.fit(frame, holdout=windows * forecaster.horizon, console=console)
    return windows


def _forecast_directly(forecaster: ZeroShotForecaster, frame: pd.DataFrame, output: Path, console: Console) -> None:
    """Evaluate a zero-shot forecaster, and write its forecast."""
    panel, _ = forecaster.read_panel(frame)
    season, _ = forecaster.seasons(panel)
    horizon = forecaster.default_horizon(season)
    windows = _num_windows(panel, horizon)
    _describe(panel, season, windows, horizon, "are compared with simple methods; no training", console)
    evaluation = forecaster.evaluate(frame, windows, console=console)
    _write(forecaster.fit(frame), frame, evaluation, forecaster.forecast(), output)


def _num_windows(panel: Panel, horizon: int) -> int:
    return max(1, min(WINDOWS, int(MAX_HELD_OUT * int(panel.lengths.min())) // horizon))


def _describe(panel: Panel, season: int, windows: int, horizon: int, use: str, console: Console) -> None:
    missing = int((panel.y != panel.y).sum())
    console.print(
        f"{len(panel)} series, {int(panel.lengths.sum()):,} steps of {panel.frequency} ({missing:,} missing), season "
        f"of {season} steps; the last {windows} windows of {horizon} steps {use}",
        soft_wrap=True,
    )


def _write(
    forecaster: Forecaster | ZeroShotForecaster,
    frame: pd.DataFrame,
    evaluation: Evaluation,
    forecasts: pd.DataFrame,
    output: Path,
) -> None:
    """Print the evaluation, and write the forecast, the plot, and the model."""
    from deeprnn_keras.training.plotting import save_figure
    from deeprnn_keras.writing import atomic_write

    click.echo(str(evaluation))
    output.mkdir(parents=True, exist_ok=True)
    with atomic_write(output / "forecast.csv") as temporary_path:
        forecasts.to_csv(temporary_path, index=False)
    save_figure(forecaster.plot(frame), output / "forecast.png")
    forecaster.save(output / "model")
    click.echo(f"Saved forecast.csv, forecast.png, and model in {output}")
