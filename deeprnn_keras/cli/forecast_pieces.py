"""`deeprnn forecast` with a trained forecaster: the table is read, and the forecast written, in pieces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras.cli.forecast_options import ForecastOptions

MODEL, ARGUMENTS, FORECAST = "model", "forecaster.json", "forecast.csv"


def saved_forecaster(model: str) -> Path | None:
    """Return the directory of a trained forecaster, or of the one in the output directory of `deeprnn forecast`."""
    path = Path(model).expanduser()
    return next((one for one in (path, path / MODEL) if (one / ARGUMENTS).is_file()), None)


def forecast_pieces(directory: Path, options: ForecastOptions, output: Path, console: Console) -> None:
    """Forecast the series of a table piece by piece, and write forecast.csv.

    Args:
        directory: Directory of the trained forecaster.
        options: Options of the command.
        output: Output directory; must not exist.
        console: A `rich.console.Console` for progress.

    Raises:
        ValueError: If an option is passed that the training determines, or if the table is not supported.
    """
    from deeprnn_keras import Forecaster, checks, progress
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow
    from deeprnn_keras.forecasting.tables import read_tables, whole_series
    from deeprnn_keras.writing import atomic_write

    _check_no_training(directory, options)
    output = checks.new_directory("--output", output)
    start_tensorflow(console)
    forecaster, count = Forecaster.load(directory), 0
    columns = options.table_columns(forecaster.arguments.covariates.names)
    output.mkdir(parents=True, exist_ok=True)
    with (
        progress.shown(console, "Forecasting", "series"),
        atomic_write(output / FORECAST) as temporary_path,
        temporary_path.open("w", encoding="utf-8", newline="") as file,
    ):
        for number, piece in enumerate(whole_series(read_tables(Path(options.csv), columns))):
            forecasts = forecaster.forecast(piece, seed=options.seed + number)
            forecasts.to_csv(file, index=False, header=number == 0)
            count += len(forecasts) // forecaster.horizon
            progress.report(count, None)
    click.echo(f"Saved {FORECAST} in {output}: {count:,} series, {forecaster.horizon} steps")


def _check_no_training(directory: Path, options: ForecastOptions) -> None:
    names = ("static", "known_future", "horizon", "frequency", "season", "epochs")
    passed = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) not in (None, ())]
    if passed:
        listed = ", ".join(passed)
        raise ValueError(f"{directory} holds a trained forecaster, which determines {listed}; leave out {listed}")
