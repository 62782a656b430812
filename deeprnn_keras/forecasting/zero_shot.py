"""`ZeroShotForecaster`: forecasts of series of any frequency by a network that is not trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import ArrayLike, PathLike
from deeprnn_keras.forecasting.combination import NUM_OUTPUTS, PROBABILITIES
from deeprnn_keras.forecasting.forecaster import QUANTILES
from deeprnn_keras.forecasting.frames import Frame, FrameKind, build_frame, read_panel
from deeprnn_keras.forecasting.frequency import DAY, MINUTE, Frequency, format_time
from deeprnn_keras.forecasting.likelihoods import check_probabilities
from deeprnn_keras.forecasting.origin_inputs import NUM_INPUTS
from deeprnn_keras.forecasting.panel import Covariates, Panel
from deeprnn_keras.forecasting.season_detection import detect_season
from deeprnn_keras.forecasting.zero_shot_states import SeriesStates, rolling_quantiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

    from deeprnn_keras.forecasting.evaluation import Evaluation
    from deeprnn_keras.models import SequenceModel
    from deeprnn_keras.program import Program

MIN_STEPS = 5  # of a series
SHORTEST_HORIZON = 8  # default of series without a season
YEAR_OF_WEEKS = 364
OPTIONS = ("horizon", "frequency", "season", "second_season")
"""Arguments of a `ZeroShotForecaster` besides the network."""


@dataclass(frozen=True)
class Read:
    """Series that a forecaster has read.

    Attributes:
        ids: Names of the series.
        frequency: Grid of time steps.
        kind: Kind of the frame.
        next_steps: Step after the last observation of each series, (n,).
        states: States of the series, computed from their history.
    """

    ids: tuple[object, ...]
    frequency: Frequency
    kind: FrameKind
    next_steps: np.ndarray
    states: SeriesStates


class ZeroShotForecaster:
    """Forecasts of series of any frequency, with intervals, by a recurrent network that is not trained on them.

    The network has been trained on synthetic series. It reads errors and forecasts of simple methods (seasonal naive,
    levels, trends, and seasonal components by exponential smoothing with fixed rates), all of them relative to the mean
    absolute seasonal difference of the series, and weighs them for each step of the horizon. The data are those of
    `Forecaster`: frames of pandas or polars, or arrays; missing values are supported, covariates are not.

    An observation costs one step of the simple methods and one of the network, whatever the length of the history.

    Args:
        model: The network, as `zoo.create_forecaster("recurrent_forecaster_150k", pretrained=True)` builds it.
        horizon: Default number of steps to forecast, H. None: one season, or 8 steps if there is none.
        frequency: Frequency, such as "h", "15min", "D", "B", "W", "M", or "Q". None infers it.
        season: Number of steps of a season; 1 for none. None: usual for the frequency; detected from the
            autocorrelation if the time stamps are integers.
        second_season: Number of steps of a longer season, or 0 for none. None: a week for steps below one day, and 364
            days for days, unless `season` is given.

    Attributes:
        model: The network.
        horizon: Default of H.

    Raises:
        ValueError: If an argument is not supported.

    >>> import numpy as np
    >>> from deeprnn_keras import zoo
    >>> forecaster = zoo.create_forecaster("recurrent_forecaster_150k", pretrained=True)
    >>> forecast = forecaster.forecast(10 + np.sin(np.arange(60) * np.pi / 6), horizon=3)
    >>> list(forecast), forecast["ds"].tolist()
    (['unique_id', 'ds', 'y_hat', 'q0.1', 'q0.5', 'q0.9'], [60, 61, 62])
    """

    def __init__(
        self,
        model: SequenceModel,
        *,
        horizon: int | None = None,
        frequency: str | int | None = None,
        season: int | None = None,
        second_season: int | None = None,
    ) -> None:
        sizes = model.input_shape[-1], model.output_shape[-1]
        if sizes != (NUM_INPUTS, NUM_OUTPUTS):
            raise ValueError(
                f"model must have {NUM_INPUTS} inputs and {NUM_OUTPUTS} outputs per step, got {sizes[0]} and {sizes[1]}"
            )
        self.model = model
        self.horizon = checks.positive_int_or_none("horizon", horizon)
        self.frequency = frequency
        self.season = checks.positive_int_or_none("season", season)
        if second_season is not None:
            second_season = checks.non_negative_int("second_season", second_season)
        self.second_season = second_season
        self._program: Program | None = None
        self._read: Read | None = None

    # === Reading ===

    def fit(self, df: Frame | ArrayLike, *, holdout: int = 0) -> Self:
        """Read the histories of series, for `forecast()` and `update`. The weights of the network do not change.

        Args:
            df: The series.
            holdout: Number of steps at the end of each series that are not read.

        Returns:
            The forecaster.

        Raises:
            ValueError: If the data are not valid (the message names the row, column, or series), or the series have
                fewer than 5 steps.
        """
        holdout = checks.non_negative_int("holdout", holdout)
        panel, kind = self.read_panel(df)
        if holdout:
            panel.check_lengths(holdout + MIN_STEPS, f"holdout={holdout}")
            panel = panel.without_last(holdout)
        self._read = self._begin(panel, kind)
        return self

    def update(self, df: Frame | ArrayLike) -> Self:
        """Read new observations of the series, at a cost of one step each.

        Args:
            df: Rows after the last value of each series; series without new rows may be absent.

        Returns:
            The forecaster.

        Raises:
            ValueError: If no series has been read, a series is unknown, or its rows do not follow the last one.
        """
        read = self._require_read()
        panel, _ = read_panel(df, Covariates(), frequency=read.frequency)
        positions = {name: row for row, name in enumerate(read.ids)}
        unknown = [name for name in panel.ids if name not in positions]
        if unknown:
            raise ValueError(f"series {unknown[0]!r} has not been read; pass its history to fit(df) or forecast(df)")
        rows = np.array([positions[name] for name in panel.ids])
        gaps = panel.first_steps - read.next_steps[rows]
        early = np.flatnonzero(gaps < 0)
        if len(early):
            last = read.frequency.times(read.next_steps[rows[early[:1]]] - 1)[0]
            raise ValueError(
                f"rows of series {panel.ids[early[0]]!r} begin at {panel.time_text(int(early[0]), 0)}, but must begin "
                f"after {format_time(last, read.frequency.zone)}, its last value; pass new rows only"
            )
        counts = panel.lengths + gaps
        for count in np.unique(counts):
            chosen = np.flatnonzero(counts == count)
            values = [np.concatenate([np.full(gaps[one], np.nan), panel.values(int(one))]) for one in chosen]
            read.states.advance(rows[chosen], np.stack(values))
        read.next_steps[rows] += counts
        return self

    def read_panel(self, df: Frame | ArrayLike) -> tuple[Panel, FrameKind]:
        """Return the series of a frame or of arrays, and the kind of the frame.

        Args:
            df: The series.

        Raises:
            ValueError: As for `fit`.
        """
        panel, kind = read_panel(df, Covariates(), given=self.frequency)
        panel.check_lengths(MIN_STEPS, "a forecast")
        return panel, kind

    def _begin(self, panel: Panel, kind: FrameKind) -> Read:
        states = SeriesStates(self._require_program(), *self.seasons(panel), len(panel))
        states.begin([panel.values(series) for series in range(len(panel))])
        return Read(panel.ids, panel.frequency, kind, panel.end_steps(), states)

    def seasons(self, panel: Panel) -> tuple[int, int]:
        """Return the steps of the season, and of the longer season or 0, of series.

        Args:
            panel: The series, as `read_panel` returns them.

        Raises:
            ValueError: If `second_season` is not greater than the season.
        """
        frequency, second = panel.frequency, self.second_season
        if self.season is not None:
            season = self.season
        elif frequency.unit == "integer":
            season = detect_season([panel.values(series) for series in range(len(panel))])
        else:
            season = frequency.season
        if second is None:
            second = _second_season(frequency) if season == frequency.season else 0
        if second and second <= season:
            raise ValueError(
                f"second_season must be greater than the season of {season} steps, got {second}; 0 stands for none"
            )
        return season, second

    def default_horizon(self, season: int) -> int:
        """Return the number of steps to forecast for series with a season.

        Args:
            season: Steps of the season.
        """
        return self.horizon or (season if season > 1 else SHORTEST_HORIZON)

    # === Forecasts ===

    def forecast(
        self,
        df: Frame | ArrayLike | None = None,
        quantiles: Sequence[float] = QUANTILES,
        *,
        horizon: int | None = None,
    ) -> Any:  # noqa: ANN401 - a frame of the user's library
        """Return the forecast of the H steps after the last value of each series.

        Args:
            df: The series. None: those of `fit` and `update`.
            quantiles: Probabilities of the quantiles, from 0.05 to 0.95.
            horizon: H; None for the default of the forecaster. The network has been trained for up to 120 steps; beyond
                them, it uses the weights of step 120.

        Returns:
            A frame of the library of `df` with the columns unique_id, ds, y_hat (the median), and those of the
            quantiles, q0.1, q0.5, q0.9; a dictionary of arrays if the data are arrays.

        Raises:
            ValueError: If no series has been read, or the data or an argument are not valid.
        """
        probabilities = _checked(quantiles)
        read = self._require_read() if df is None else self._begin(*self.read_panel(df))
        horizon = self._checked_horizon(horizon, read.states.season)
        values = read.states.quantiles(horizon, (0.5, *probabilities))
        columns: dict[str, Any] = {
            "unique_id": [name for name in read.ids for _ in range(horizon)],
            "ds": read.frequency.times((read.next_steps[:, None] + np.arange(horizon)).ravel()),
            "y_hat": values[..., 0].ravel(),
        }
        columns |= {f"q{p:g}": values[..., number].ravel() for number, p in enumerate(probabilities, start=1)}
        return build_frame(columns, read.frequency, read.kind)

    def evaluate(
        self,
        df: Frame | ArrayLike,
        windows: int = 20,
        *,
        horizon: int | None = None,
        stride: int | None = None,
        baselines: Sequence[str] = ("seasonal_naive", "ets", "theta"),
        console: Console | None = None,
    ) -> Evaluation:
        """Compare forecasts from several origins with the values that followed, and with those of simple methods.

        Args:
            df: The series.
            windows: Number of origins, the last of which is H steps before the end of each series.
            horizon: H; None for the default of the forecaster.
            stride: Number of steps between origins. None: H.
            baselines: As for `Forecaster.evaluate`.
            console: A `rich.console.Console` for a progress bar; None shows none.

        Returns:
            The metrics of each method, as for `Forecaster.evaluate`.

        Raises:
            ValueError: If a series is too short for the windows.
            ImportError: If utilsforecast or statsmodels is missing.
        """
        from deeprnn_keras.forecasting.evaluation import DECILES, check_requirements, compare

        check_requirements(baselines)
        windows = checks.positive_int("windows", windows)
        panel, _ = self.read_panel(df)
        season, second = self.seasons(panel)
        horizon = self._checked_horizon(horizon, season)
        stride = horizon if stride is None else checks.positive_int("stride", stride)
        required = MIN_STEPS + horizon + (windows - 1) * stride
        panel.check_lengths(required, f"evaluation with windows={windows} and stride={stride}")
        histories, values, forecasts = [], [], []
        for series in range(len(panel)):
            y = panel.values(series)
            origins = len(y) - horizon - stride * np.arange(windows)[::-1]
            forecasts.append(rolling_quantiles(self._require_program(), y, origins, season, second, horizon, DECILES))
            histories += [y[:origin] for origin in origins]
            values += [y[origin : origin + horizon] for origin in origins]
        network = np.concatenate(forecasts)
        return compare(histories, np.stack(values), network, season, tuple(baselines), console, series=len(panel))

    def plot(
        self,
        df: Frame | ArrayLike,
        *,
        series: Sequence[object] | None = None,
        history: int | None = None,
        horizon: int | None = None,
    ) -> Figure:
        """Plot the end of series, the median forecast, and the 80% interval.

        Args:
            df: The series.
            series: Names of the series; None for the first four.
            history: Number of steps before the forecast to show; None for three horizons.
            horizon: H; None for the default of the forecaster.

        Returns:
            A matplotlib figure.

        Raises:
            ValueError: As for `forecast`, and if a series is unknown.
        """
        from deeprnn_keras.forecasting.plots import chosen_series, draw_forecasts

        panel, kind = self.read_panel(df)
        read = self._begin(panel, kind)
        horizon = self._checked_horizon(horizon, read.states.season)
        rows = chosen_series(read.ids, series)
        values = np.moveaxis(read.states.quantiles(horizon, (0.5, 0.1, 0.9))[rows], 2, 0)
        history = checks.positive_int_or_none("history", history) or 3 * horizon
        return draw_forecasts(panel, rows, list(values), history)

    # === Files ===

    def save(self, path: PathLike) -> None:
        """Save the forecaster in a directory: its arguments, the Keras model, and the states of the series.

        Args:
            path: Directory, which must be empty or not exist.

        Raises:
            ValueError: If the directory is not empty.
        """
        from deeprnn_keras.forecasting.zero_shot_saving import save

        save(self, path)

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """Return the forecaster that `save` stored.

        Args:
            path: The directory.

        Raises:
            FileNotFoundError: If a file does not exist.
            DamagedFileError: If a file is damaged.
        """
        from deeprnn_keras.forecasting.zero_shot_saving import load

        return load(cls, path)

    # === Parts ===

    def _require_read(self) -> Read:
        if self._read is None:
            raise ValueError("this ZeroShotForecaster has read no series; pass them to forecast(df), or call fit(df)")
        return self._read

    def _require_program(self) -> Program:
        """Return the network as a program, lowered once."""
        from deeprnn_keras.program.lowering import lower

        if self._program is None:
            self._program = lower(self.model)
        return self._program

    def _checked_horizon(self, horizon: int | None, season: int) -> int:
        return checks.positive_int_or_none("horizon", horizon) or self.default_horizon(season)

    def __repr__(self) -> str:
        state = "no series read" if self._read is None else f"{len(self._read.ids)} series read"
        return f"ZeroShotForecaster({self.model.name}, horizon={self.horizon}, season={self.season}): {state}"


def _second_season(frequency: Frequency) -> int:
    """Return the steps of a week for steps of a minute to less than a day, 364 for days, else 0."""
    if frequency.unit != "fixed" or not MINUTE <= frequency.step <= DAY or frequency.season == 1:
        return 0
    return YEAR_OF_WEEKS if frequency.step == DAY else frequency.week


def _checked(quantiles: Sequence[float]) -> tuple[float, ...]:
    probabilities = check_probabilities("quantiles", quantiles)
    outside = [p for p in probabilities if not PROBABILITIES[0] <= p <= PROBABILITIES[-1]]
    if outside:
        raise ValueError(
            f"quantiles must be between {PROBABILITIES[0]:g} and {PROBABILITIES[-1]:g}, the outermost of the training "
            f"of the network, got {outside[0]:g}"
        )
    return probabilities
