"""`Arguments`: the checked arguments of a `Forecaster`, as JSON values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import Config
from deeprnn_keras.forecasting.frequency import Frequency
from deeprnn_keras.forecasting.layouts import LAYOUTS, Layout
from deeprnn_keras.forecasting.likelihoods import Likelihood
from deeprnn_keras.forecasting.panel import Covariates
from deeprnn_keras.forecasting.scaling import check_scaling
from deeprnn_keras.reading import build_dataclass
from deeprnn_keras.training.recipe import Recipe
from deeprnn_keras.training.schedules import CosineDecay, GeometricDecay, PlateauDecay, StepDecay

SCHEDULES = {schedule.__name__: schedule for schedule in (CosineDecay, GeometricDecay, PlateauDecay, StepDecay)}
DETERMINED = {"inputs", "outputs", "kind", "per_step", "return_sequences", "masks", "embedding", "words", "labels"}
SEASONS_OF_CONTEXT, HORIZONS_OF_CONTEXT = 2, 3
MAX_VALIDATION_SHARE = 0.3  # at most this share of a series is held out for early stopping


@dataclass(frozen=True)
class Arguments:
    """Arguments of a `Forecaster`, which documents them.

    Raises:
        ValueError: If an argument is out of range, or two arguments exclude each other.
    """

    horizon: int
    units: Any
    num_layers: int | None
    cell: Any
    strategy: str
    context: int | None
    static: tuple[str, ...]
    past: tuple[str, ...]
    known_future: tuple[str, ...]
    calendar: bool
    scaling: str | None
    scaler: str
    missing_flag: bool
    lags: tuple[int, ...] | None
    scale_input: bool | None
    difference: bool
    validation_windows: int | None
    patience: int | None
    updates_per_epoch: int | None
    frequency: Any
    season: int | None
    seed: int
    network: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.store(self, horizon=checks.positive_int("horizon", self.horizon))
        for name in ("num_layers", "context", "patience", "updates_per_epoch", "season"):
            checks.store(self, **{name: checks.positive_int_or_none(name, getattr(self, name))})
        if self.validation_windows is not None:
            windows = checks.non_negative_int("validation_windows", self.validation_windows)
            checks.store(self, validation_windows=windows)
        checks.store(self, seed=checks.generator_seed("seed", self.seed) or 0)
        for name in ("calendar", "missing_flag", "difference"):
            checks.store(self, **{name: checks.flag(name, getattr(self, name))})
        for name in ("static", "past", "known_future"):
            checks.store(self, **{name: _names(name, getattr(self, name))})
        if self.scale_input is not None:
            checks.store(self, scale_input=checks.flag("scale_input", self.scale_input))
        if self.lags is not None:
            checks.store(self, lags=_lags(self.lags))
        checks.store(self, network=self._network())
        checks.one_of("strategy", self.strategy, LAYOUTS)
        check_scaling(self.scaling, self.scaler)
        self._check_combinations()
        self._check_plain()

    def _network(self) -> Config:
        """Return the other arguments of the network, without those that the forecaster determines."""
        determined = sorted(DETERMINED & set(self.network))
        if determined:
            raise ValueError(f"Forecaster determines {determined[0]} of its network itself; leave it out")
        return dict(checks.to_python(dict(self.network)))

    def _check_combinations(self) -> None:
        if self.past and not LAYOUTS[self.strategy].supports_past:
            raise ValueError(
                f"past={list(self.past)} is not supported with strategy={self.strategy!r}, whose samples of the "
                "horizon would need them; use strategy='direct', or declare them as known_future"
            )
        if self.lags and not LAYOUTS[self.strategy].supports_lags:
            raise ValueError(
                f"lags={list(self.lags)} are not supported with strategy={self.strategy!r}; use strategy='recursive', "
                "or a longer context"
            )
        repeated = [name for name in self.covariates.names if self.covariates.names.count(name) > 1]
        if repeated:
            raise ValueError(f"column {repeated[0]!r} is declared twice among static, past, and known_future")
        if self.context is not None and self.context < self.layout().min_context():
            raise ValueError(
                f"context must be at least {self.layout().min_context()} with strategy={self.strategy!r} and "
                f"horizon={self.horizon}, got {self.context}"
            )

    def _check_plain(self) -> None:
        """Raise a ValueError if an argument of the network is not a JSON value: `save` stores all arguments."""
        for name, value in (("units", self.units), ("cell", self.cell), *self.network.items()):
            try:
                json.dumps(checks.to_python(value))
            except TypeError:
                raise ValueError(
                    f"{name} must consist of numbers, names, and dictionaries, got {value!r}; for other objects, "
                    "build a model of your own and train it on a SeriesDataset"
                ) from None

    def check_likelihood(self, likelihood: Likelihood) -> None:
        """Raise a ValueError if the likelihood is not supported with the strategy or the scaling."""
        if self.strategy == "recursive" and not likelihood.samples:
            raise ValueError(
                f"likelihood {likelihood.name!r} is not supported with strategy='recursive', which feeds samples back; "
                "use strategy='direct'"
            )
        if likelihood.counts and self.difference:
            raise ValueError(
                f"likelihood {likelihood.name!r} requires difference=False: a difference of counts is not a count"
            )
        if likelihood.counts and (self.scaler != "mean" and self.scaling is not None):
            raise ValueError(
                f"likelihood {likelihood.name!r} requires scaler='mean', because counts are scaled but not shifted, "
                f"got scaler={self.scaler!r}"
            )

    @property
    def covariates(self) -> Covariates:
        """Names of the columns of covariates."""
        return Covariates(self.static, self.past, self.known_future)

    def layout(self, season: int = 1, lags: tuple[int, ...] = ()) -> Layout:
        """Return the layout of the strategy with the lags of `resolved_lags`."""
        return LAYOUTS[self.strategy](self.horizon, self.missing_flag, lags, season if self.difference else 0)

    def reads_scale(self) -> bool:
        """Return True if the logarithm of the scale is an input: by default with strategy="recursive"."""
        return self.scaling is not None and (
            self.strategy == "recursive" if self.scale_input is None else self.scale_input
        )

    def resolved_lags(self, frequency: Frequency, season: int) -> tuple[int, ...]:
        """Return `lags`, or by default those of one season and, below one day, of one week."""
        if self.lags is not None or not LAYOUTS[self.strategy].supports_lags:
            return self.lags or ()
        return tuple(sorted({lag for lag in (season, frequency.week) if lag > 1}))

    def default_context(self, season: int, lengths: np.ndarray) -> int:
        """Return T: three horizons and two seasons, or less if the series have fewer steps.

        Series shorter than the median are padded, unless the network does not read flags of missing values.
        """
        wanted = max(HORIZONS_OF_CONTEXT * self.horizon, SEASONS_OF_CONTEXT * season)
        available = int(np.median(lengths) if self.missing_flag else lengths.min())
        return max(min(wanted, (available - self.horizon) // 2), self.layout().min_context())

    def to_json(self) -> Config:
        """Return the arguments as JSON values."""
        return checks.to_python({name: getattr(self, name) for name in asdict(self)})


def _names(name: str, columns: str | Sequence[str]) -> tuple[str, ...]:
    given = (columns,) if isinstance(columns, str) or not isinstance(columns, Iterable) else tuple(columns)
    if not all(isinstance(column, str) for column in given):
        raise ValueError(f"{name} must be names of columns, got {columns!r}")
    return given


def _lags(lags: Sequence[int]) -> tuple[int, ...]:
    """Return lags as an ascending tuple; lag 1 is always an input."""
    if isinstance(lags, (str, bytes)) or not isinstance(lags, Iterable):
        raise ValueError(f"lags must be a list of integers of at least 2, got {lags!r}")
    numbers = sorted({checks.positive_int("lags", lag) for lag in lags})
    if numbers and numbers[0] < 2:
        raise ValueError("lags must be at least 2, got 1; the previous value is always an input")
    return tuple(numbers)


def recipe_to_json(recipe: Recipe) -> Config:
    """Return a recipe as JSON values."""
    schedule = recipe.schedule
    stored = None if schedule is None else {"kind": type(schedule).__name__, **asdict(schedule)}
    return {**asdict(recipe), "schedule": stored}


def recipe_from_json(values: Config) -> Recipe:
    """Return the recipe of JSON values.

    Raises:
        ValueError: If they are not those of a recipe.
    """
    schedule = values.get("schedule")
    if schedule is not None:
        schedule = dict(schedule)
        kind = SCHEDULES[checks.one_of("schedule", schedule.pop("kind", None), SCHEDULES)]
        schedule = build_dataclass(kind, schedule)
    return build_dataclass(
        Recipe, {key: value for key, value in values.items() if key != "schedule"}, schedule=schedule
    )
