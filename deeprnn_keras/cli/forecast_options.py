"""Options of `deeprnn forecast`, and the stored options of a run for --resume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from deeprnn_keras.cli.resume_options import check_stored_run, check_unchanged
from deeprnn_keras.reading import read_record

REQUIRED = ("csv", "time", "target")


class ForecastOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of `deeprnn forecast`, which are the content of run.json.

    Attributes:
        model: Name of the forecaster in the zoo.
        csv: Absolute path of the file.
        time: Column of the time stamps.
        target: Column of the values.
        id: Column of the names of the series, or None for one series.
        static: Columns that are constant in each series.
        known_future: Columns that are known in advance.
        horizon: Number of steps to forecast; None for that of the model.
        frequency: Frequency of the series; None infers it.
        season: Steps of a season; None for the usual number.
        epochs: Maximum number of epochs; None for that of the model.
        seed: Random seed.
    """

    model: str
    csv: str
    time: str
    target: str
    id: str | None = None
    static: tuple[str, ...] = ()
    known_future: tuple[str, ...] = ()
    horizon: int | None = None
    frequency: str | None = None
    season: int | None = None
    epochs: int | None = None
    seed: int = 0

    def columns(self) -> dict[str, str | None]:
        """Return the columns of the file by their names in a long frame."""
        return {"unique_id": self.id, "ds": self.time, "y": self.target}

    def table_columns(self, covariates: tuple[str, ...]) -> dict[str, str]:
        """Return the columns to read, with those of covariates, by their names in a long frame."""
        chosen = {name: column for name, column in self.columns().items() if column is not None}
        return {**chosen, **{name: name for name in covariates}}

    def overrides(self) -> dict[str, int]:
        """Return the fields of the configuration and the recipe to replace."""
        values = {"horizon": self.horizon, "epochs": self.epochs}
        return {name: value for name, value in values.items() if value is not None}

    def of_the_data(self) -> dict[str, Any]:
        """Return the arguments of `Forecaster` that depend on the data."""
        return {name: getattr(self, name) for name in ("frequency", "season", "static", "known_future", "seed")}


def _given(model: str, passed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were passed, with an absolute path of the file."""
    given = {name: value for name, value in passed.items() if value not in (None, ())}
    if "csv" in given:
        given["csv"] = str(given["csv"].absolute())
    return {"model": model, **given}


def new_options(model: str, passed: Mapping[str, Any]) -> ForecastOptions:
    """Return the options of a new run.

    Args:
        model: Name of the forecaster.
        passed: Values of the options by name; None or () if they were not passed.

    Raises:
        click.UsageError: If a required option is missing.
    """
    given = _given(model, passed)
    missing = [name for name in REQUIRED if name not in given]
    if missing:
        raise click.UsageError(f"Missing option '--{missing[0]}'; it is required without --resume.")
    return ForecastOptions(**given)


def resumed_options(model: str, output: Path, passed: Mapping[str, Any]) -> ForecastOptions:
    """Return the options that the run to resume was started with.

    Args:
        model: Name of the forecaster.
        output: Output directory of the run.
        passed: Options that were passed together with --resume, as for `new_options`.

    Raises:
        ValueError: If there is no such run, or an option differs from the one that the run was started with.
    """
    from deeprnn_keras.tasks.run import SETTINGS

    output = output.expanduser()
    check_stored_run(output)
    options = read_record(output / SETTINGS, ForecastOptions, "the options of a forecast")
    check_unchanged(output, msgspec.to_builtins(options), _given(model, passed))
    return options
