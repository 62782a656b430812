"""The command `deeprnn forecast`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from deeprnn_keras import Forecaster
    from deeprnn_keras.forecasting import Evaluation

ARGUMENTS, FORECAST = "forecaster.json", "forecast.csv"
WINDOWS = 20
MAX_HELD_OUT = 0.25  # of the shortest series


def _columns(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Convert 'price,promotion' to ('price', 'promotion')."""
    return tuple(name.strip() for name in value.split(",")) if value else ()


@click.command()
@click.argument("model", metavar="MODEL")
@click.option(
    "--csv",
    "path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    required=True,
    help="Series: a CSV or Parquet file, or a directory of such files.",
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
    """Train a forecaster on series in a file, and forecast them; or forecast with a trained one.

    MODEL is a forecaster of the zoo (deeprnn list --task forecasting). The last part of each series is held out, on
    which the network is compared with simple methods. DIRECTORY receives forecast.csv, forecast.png, and the model, for
    Forecaster.load.

    If MODEL is the directory of a trained forecaster, nothing is trained, and DIRECTORY receives forecast.csv. The
    table, in which the rows of each series must follow each other, is read in pieces and may be larger than the memory.
    """
    from rich.console import Console

    from deeprnn_keras import checks, zoo
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow

    console, saved = Console(), _saved_forecaster(model)
    columns = {"unique_id": series, "ds": time, "y": target}
    of_data = {"frequency": frequency, "season": season, "static": static, "known_future": known_future}
    overrides = {name: value for name, value in (("horizon", horizon), ("epochs", epochs)) if value is not None}
    if saved is not None:
        _check_no_training(saved, {**of_data, **overrides})
        output = checks.new_directory("--output", output)
        start_tensorflow(console)
        _forecast_pieces(saved, path, columns, seed, output, console)
        return
    _check_model(model, overrides)  # before any slow operation
    output = checks.new_directory("--output", output)
    frame = _read(path, columns, (*static, *known_future))
    start_tensorflow(console)
    forecaster = zoo.create_forecaster(model, **overrides, **of_data, seed=seed)
    windows = _fit(forecaster, frame, console)
    _write(forecaster, frame, windows, output, console)


def _check_model(name: str, overrides: dict[str, Any]) -> None:
    """Raise a ValueError if a model is not a forecaster, or an option is out of range."""
    from deeprnn_keras import zoo

    if not isinstance(zoo.info(name), zoo.ForecasterConfig):
        known = ", ".join(zoo.list_models(task="forecasting"))
        raise ValueError(f"{name} is not a forecaster; the forecasters are {known}")
    zoo.info(name, **overrides)


# === Reading ===


def _columns_of(columns: dict[str, str | None], covariates: tuple[str, ...]) -> dict[str, str]:
    chosen = {name: column for name, column in columns.items() if column is not None}
    return {**chosen, **{name: name for name in covariates}}


def _read(path: Path, columns: dict[str, str | None], covariates: tuple[str, ...]) -> pd.DataFrame:
    """Return the columns of a table under the names of a long frame.

    Raises:
        ValueError: If the file is missing or not a table, or lacks a column.
    """
    from deeprnn_keras.extras import import_optional
    from deeprnn_keras.forecasting.tables import read_tables

    pandas = import_optional("pandas", "forecast", "Reading tables")
    return pandas.concat(read_tables(path, _columns_of(columns, covariates)), ignore_index=True)


# === Forecasts of a trained forecaster ===


def _saved_forecaster(model: str) -> Path | None:
    """Return the directory of a trained forecaster, or of the one in the output directory of this command."""
    path = Path(model).expanduser()
    return next((one for one in (path, path / "model") if (one / ARGUMENTS).is_file()), None)


def _check_no_training(directory: Path, options: dict[str, Any]) -> None:
    passed = ", ".join(f"--{name.replace('_', '-')}" for name, value in options.items() if value not in (None, ()))
    if passed:
        raise ValueError(f"{directory} holds a trained forecaster, which determines {passed}; leave out {passed}")


def _forecast_pieces(
    directory: Path, path: Path, columns: dict[str, str | None], seed: int, output: Path, console: Console
) -> None:
    """Forecast the series of a table piece by piece, and write forecast.csv."""
    from deeprnn_keras import Forecaster, progress
    from deeprnn_keras.forecasting.tables import read_tables, whole_series
    from deeprnn_keras.writing import atomic_write

    forecaster, count = Forecaster.load(directory), 0
    names = _columns_of(columns, forecaster.arguments.covariates.names)
    output.mkdir(parents=True, exist_ok=True)
    with (
        progress.shown(console, "Forecasting", "series"),
        atomic_write(output / FORECAST) as temporary_path,
        temporary_path.open("w", encoding="utf-8", newline="") as file,
    ):
        for number, piece in enumerate(whole_series(read_tables(path, names))):
            forecasts = forecaster.forecast(piece, seed=seed + number)
            forecasts.to_csv(file, index=False, header=number == 0)
            count += len(forecasts) // forecaster.horizon
            progress.report(count, None)
    click.echo(f"Saved {FORECAST} in {output}: {count:,} series, {forecaster.horizon} steps")


# === Training and results ===


def _fit(forecaster: Forecaster, frame: pd.DataFrame, console: Console) -> int:
    """Train the forecaster without the last windows, and return their number."""
    from deeprnn_keras.forecasting.frames import read_panel

    arguments = forecaster.arguments
    panel, _ = read_panel(frame, arguments.covariates, given=arguments.frequency)
    panel.check_future(forecaster.horizon)
    season = arguments.season or panel.frequency.season
    shortest = int(panel.lengths.min())
    windows = max(1, min(WINDOWS, int(MAX_HELD_OUT * shortest) // forecaster.horizon))
    missing = int((panel.y != panel.y).sum())
    console.print(
        f"{len(panel)} series, {int(panel.lengths.sum()):,} steps of {panel.frequency} ({missing:,} missing), season "
        f"of {season} steps; the last {windows} windows of {forecaster.horizon} steps are held out",
        soft_wrap=True,
    )
    forecaster.fit(frame, holdout=windows * forecaster.horizon, console=console)
    return windows


def _write(forecaster: Forecaster, frame: pd.DataFrame, windows: int, output: Path, console: Console) -> None:
    """Evaluate the forecaster, and write the forecast, the plot, and the model."""
    from deeprnn_keras.training.plotting import save_figure
    from deeprnn_keras.writing import atomic_write

    evaluation: Evaluation = forecaster.evaluate(frame, windows, console=console)
    click.echo(str(evaluation))
    forecasts = forecaster.forecast(frame, seed=0)
    output.mkdir(parents=True, exist_ok=True)
    with atomic_write(output / FORECAST) as temporary_path:
        forecasts.to_csv(temporary_path, index=False)
    save_figure(forecaster.plot(frame), output / "forecast.png")
    forecaster.save(output / "model")
    click.echo(f"Saved forecast.csv, forecast.png, and model in {output}")
