"""`Forecaster`: from a data frame of series to forecasts with intervals."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import ArrayLike, CellSpec, Config, PathLike
from deeprnn_keras.forecasting import carried as streams
from deeprnn_keras.forecasting.arguments import MAX_VALIDATION_SHARE, Arguments
from deeprnn_keras.forecasting.calendar_features import calendar_cycles
from deeprnn_keras.forecasting.carried import Carried
from deeprnn_keras.forecasting.frames import Frame, FrameKind, build_frame, read_panel
from deeprnn_keras.forecasting.frequency import Frequency, format_time
from deeprnn_keras.forecasting.likelihoods import LikelihoodSpec, check_probabilities, get_likelihood
from deeprnn_keras.forecasting.panel import Panel, encode_static
from deeprnn_keras.forecasting.windows import InputBuilder, RawWindow, WindowCutter
from deeprnn_keras.training.recipe import Recipe

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure
    from rich.console import Console

    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.forecasting.evaluation import Evaluation
    from deeprnn_keras.forecasting.origins import OriginWindows
    from deeprnn_keras.models import SequenceModel
    from deeprnn_keras.program import Program

QUANTILES = (0.1, 0.5, 0.9)
MAX_VALIDATION_WINDOWS = 16  # per series
MAX_VALIDATION_BATCHES = 8  # above it, there is one window per series
MAX_UPDATES_PER_EPOCH = 200
VALIDATION_BATCH_SIZE = 256
DEFAULT_RECIPE = Recipe("adam", 1e-3, global_clipnorm=10.0, batch_size=32, epochs=30)
NOT_FITTED = "this Forecaster has not been trained; call fit(df) or Forecaster.load(path) first"


@dataclass(frozen=True)
class Resolved:
    """Arguments that follow from the training data.

    Attributes:
        frequency: Grid of time steps.
        season: Steps of a season.
        context: Steps of context, T.
        lags: Lags of the inputs.
        cycles: Cycles of the calendar features.
        log_scale: Mean and standard deviation of the logarithm of the scale, or None if it is not an input.
        encoding: Encoding of the static covariates.
        spread: Factor of the distances from the median, by which intervals are calibrated after training.
    """

    frequency: Frequency
    season: int
    context: int
    lags: tuple[int, ...]
    cycles: tuple[str, ...]
    log_scale: tuple[float, float] | None
    encoding: dict[str, Any]
    spread: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Fitted(Resolved):
    """Result of a training.

    Attributes:
        ids: Names of the series that `carried` holds.
        kind: Kind of the frame.
        carried: States after the last observation of each series.
    """

    ids: tuple[object, ...]
    kind: FrameKind
    carried: Carried


class Forecaster:
    """Forecasts of many series by one recurrent network, with intervals, in the units of the data.

    The data are frames of pandas or polars with one row per series and time stamp: `unique_id` (may be absent for one
    series), `ds` (dates, times, periods, or integers), `y`, and covariates. Missing rows and empty values of y are
    missing values. A series ends with its last value of y; rows after it hold known-future covariates. Arrays are
    supported, too: (steps,) for one series, or a list of them.

    All inputs of a forecast, including the scale of the series, are computed from values up to its origin.

    Args:
        horizon: Number of steps to forecast, H.
        cell: Cell of the `DeepRNN`.
        units: Hidden units, h, or a list with one entry per layer.
        num_layers: Number of recurrent layers, L.
        likelihood: Distribution of a value: "student_t", "gaussian", "negative_binomial" for counts, "quantiles"; or a
            number without intervals, "mae" or "mse"; or an object of `deeprnn_keras.forecasting`.
        strategy: "recursive" predicts one step and feeds samples back (DeepAR); "direct" predicts all H steps from the
            state after the last observation; "shifted" predicts step t + H at step t (neuralforecast).
        context: Number of steps that precede a forecast in training, T. None: three horizons and two seasons, or less
            if the series have fewer steps. Series with fewer than T steps are padded with missing values.
        static: Columns that are constant in each series. Texts are categories.
        past: Columns that are known up to the last observation; not with "recursive".
        known_future: Columns that are known over the horizon, too.
        calendar: If True, the network reads the positions in the day, week, and year, provided that the frequency
            resolves them and the longest series has at least two of these periods.
        scaling: "window" divides by statistics of the context, "series" by those of the series up to the origin; None
            does not scale.
        scaler: Statistics: "mean" of absolute values, "standard" for mean and standard deviation, or "robust" for
            median and median absolute deviation. None: "mean" for counts, otherwise "standard".
        missing_flag: If True, the network reads a flag for each value, 1 where it is observed and 0 where it is
            missing. If False, missing values are an error, and series are not padded.
        lags: Lags, at least 2 steps before the predicted step, at which the network also reads the values; only with
            "recursive". None: one season and, for steps below one day, one week.
        scale_input: If True, the network reads the logarithm of the scale, standardized over the training windows.
            None: True for "recursive".
        difference: If True, the network reads and predicts differences from the value one season earlier, in units of
            their root mean square in the context. A network that outputs 0 is then equal to seasonal naive. A missing
            value is read as that of the season before. None: True except for counts.
        dropout: Dropout rate between layers.
        recipe: Optimizer, clipping, batch size, and epochs.
        validation_windows: Number of windows at the end of each series that are held out for early stopping; 0 for
            none.
            None: up to 16, if the series are long enough.
        patience: Number of epochs without improvement after which training stops; the weights of the best epoch are
            restored. None trains for all epochs.
        updates_per_epoch: Number of updates per epoch. None: one pass over all windows, at most 200.
        frequency: Frequency, such as "h", "15min", "D", "B", "W", "M", or "Q". None infers it.
        season: Number of steps of a season, for the context, lags, differences, and metrics. None: usual for the
            frequency.
        seed: Random seed for initialization, shuffling, and dropout.
        **network: Other arguments of `SequenceModel`, the network, and of its `DeepRNN`, such as `head_units`,
            `output_dropout`, `connection`, or `implementation`.

    Attributes:
        model: The trained Keras model, or None before `fit`.
        horizon: H.
        likelihood: The likelihood, which is the loss of the model.
        history: `{metric: values by epoch}` of the last `fit`.

    Raises:
        ValueError: If an argument is not supported.
        ImportError: If a package of the extra `forecast` is missing.

    >>> import numpy as np
    >>> from deeprnn_keras import Forecaster
    >>> y = 10 + np.sin(np.arange(60) * np.pi / 6)
    >>> forecaster = Forecaster(horizon=3, units=4, num_layers=1, season=12, updates_per_epoch=2, patience=1)
    >>> forecaster = forecaster.fit(y, epochs=1, verbose=False)
    >>> forecast = forecaster.forecast(quantiles=(0.1, 0.9), seed=0)
    >>> list(forecast), forecast["ds"].tolist(), bool(np.all(forecast["q0.1"] <= forecast["q0.9"]))
    (['unique_id', 'ds', 'y_hat', 'q0.1', 'q0.9'], [60, 61, 62], True)
    >>> forecaster.windows(y)
    OriginWindows: 34 windows of 24 steps that end from 23 to 56
    """

    def __init__(
        self,
        horizon: int,
        cell: CellSpec | Sequence[CellSpec] = "lstm",
        units: int | Sequence[int] = 64,
        num_layers: int | None = 2,
        likelihood: LikelihoodSpec = "student_t",
        *,
        strategy: str = "recursive",
        context: int | None = None,
        static: str | Sequence[str] = (),
        past: str | Sequence[str] = (),
        known_future: str | Sequence[str] = (),
        calendar: bool = True,
        scaling: str | None = "window",
        scaler: str | None = None,
        missing_flag: bool = True,
        lags: Sequence[int] | None = None,
        scale_input: bool | None = None,
        difference: bool | None = None,
        dropout: float = 0.0,
        recipe: Recipe = DEFAULT_RECIPE,
        validation_windows: int | None = None,
        patience: int | None = 5,
        updates_per_epoch: int | None = None,
        frequency: str | int | None = None,
        season: int | None = None,
        seed: int = 0,
        **network: Any,
    ) -> None:
        self.likelihood = get_likelihood(likelihood)
        self.arguments = Arguments(
            horizon=horizon,
            units=checks.to_python(units),
            num_layers=num_layers,
            cell=cell,
            strategy=strategy,
            context=context,
            static=static,  # pyright: ignore[reportArgumentType] - converted to a tuple
            past=past,  # pyright: ignore[reportArgumentType]
            known_future=known_future,  # pyright: ignore[reportArgumentType]
            calendar=calendar,
            scaling=scaling,
            scaler=("mean" if self.likelihood.counts else "standard") if scaler is None else scaler,
            missing_flag=missing_flag,
            lags=lags,  # pyright: ignore[reportArgumentType]
            scale_input=scale_input,
            difference=not self.likelihood.counts if difference is None else difference,
            validation_windows=validation_windows,
            patience=patience,
            updates_per_epoch=updates_per_epoch,
            frequency=frequency,
            season=season,
            seed=seed,
            network={"dropout": checks.rate("dropout", dropout), **network},
        )
        self.horizon = self.arguments.horizon
        self.arguments.check_likelihood(self.likelihood)
        if not isinstance(recipe, Recipe):
            raise ValueError(f"recipe must be a Recipe, got {recipe!r}")
        self.recipe = recipe
        self.model: SequenceModel | None = None
        self.history: dict[str, list[float]] = {}
        self._fitted: Fitted | None = None
        self._program: Program | None = None

    # === Training ===

    def fit(
        self,
        df: Frame | ArrayLike,
        *,
        holdout: int = 0,
        epochs: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        resume: PathLike | None = None,
        verbose: bool = True,
        console: Console | None = None,
    ) -> Self:
        """Train the network with `model.fit`, and read the history of each series.

        A second call trains a new network.

        Args:
            df: The series.
            holdout: Number of steps at the end of each series that are not read, for `evaluate`.
            epochs: Maximum number of epochs; None for that of the recipe.
            callbacks: Additional callbacks for `fit`.
            resume: Directory of checkpoints. If it holds an interrupted run with the same data and arguments, the run
                continues there; see `Resume`.
            verbose: If True, show a progress bar with the remaining time.
            console: Console for the progress bar; None creates one.

        Returns:
            The forecaster.

        Raises:
            ValueError: If the data are not valid (the message names the row, column, or series), or the series are too
                short.
        """
        import keras

        from deeprnn_keras.forecasting.calibration import calibrated_spread
        from deeprnn_keras.forecasting.training import train

        verbose, holdout = checks.flag("verbose", verbose), checks.non_negative_int("holdout", holdout)
        epochs = self.recipe.epochs if epochs is None else checks.positive_int("epochs", epochs)
        panel, kind = self._training_panel(df, holdout)
        resolved, cutter = self._training_cutter(panel)
        train_data, validation_data, held_out = self._datasets(cutter)
        self._fitted = self._program = None
        keras.utils.set_random_seed(self.arguments.seed)
        self.model = model = self._build(cutter)
        self.history = train(
            model,
            self.likelihood,
            self.recipe.replace(epochs=epochs),
            train_data,
            validation_data,
            patience=self.arguments.patience,
            callbacks=callbacks,
            resume=resume,
            console=console if verbose else None,
            verbose=verbose,
        )
        resolved = replace(resolved, spread=calibrated_spread(self, cutter, held_out))
        shared = {field.name: getattr(resolved, field.name) for field in fields(Resolved)}
        self._fitted = Fitted(**shared, ids=panel.ids, kind=kind, carried=self._begin(cutter))
        return self

    def _training_panel(self, df: Frame | ArrayLike, holdout: int) -> tuple[Panel, FrameKind]:
        """Return the series of a frame without their last `holdout` steps, and the kind of the frame."""
        panel, kind = read_panel(df, self.arguments.covariates, given=self.arguments.frequency)
        if holdout:
            panel.check_lengths(holdout + 2, f"holdout={holdout}")
            panel = panel.without_last(holdout)
        self._warn_of_constants(panel)
        return panel, kind

    def _training_cutter(self, panel: Panel) -> tuple[Resolved, WindowCutter]:
        """Return the arguments that follow from the training data, and the cutter of their windows."""
        resolved, static = self._resolve(panel)
        cutter = self._cutter(panel, static, resolved)
        return replace(resolved, log_scale=cutter.log_scale), cutter

    def _resolve(self, panel: Panel) -> tuple[Resolved, np.ndarray]:
        """Return the arguments that follow from the training data, and the static features of the series."""
        arguments, frequency = self.arguments, panel.frequency
        season = arguments.season or frequency.season
        context = arguments.context or arguments.default_context(season, panel.lengths)
        if not arguments.missing_flag:
            panel.check_lengths(context + self.horizon, f"a forecast of horizon={self.horizon} from context={context}")
        lags = arguments.resolved_lags(frequency, season)
        cycles = calendar_cycles(frequency, int(panel.lengths.max())) if arguments.calendar else ()
        static, encoding = encode_static(panel, arguments.static, None)
        return Resolved(frequency, season, context, lags, cycles, None, encoding), static

    def _warn_of_constants(self, panel: Panel) -> None:
        constant = panel.constant_series()
        if len(constant):
            value = np.nanmin(panel.values(int(constant[0])))
            warnings.warn(
                f"{len(constant)} of {len(panel)} series are constant, for example {panel.ids[constant[0]]!r} with "
                f"{value:g}; their forecast is that constant: leave them out",
                stacklevel=4,
            )

    def _cutter(self, panel: Panel, static: np.ndarray, resolved: Resolved) -> WindowCutter:
        arguments = self.arguments
        if not arguments.missing_flag and np.isnan(panel.y).any():
            index = int(np.argmax(np.isnan(panel.y)))
            series = int(np.searchsorted(panel.bounds, index, side="right")) - 1
            time = panel.time_text(series, index - int(panel.bounds[series]))
            raise ValueError(
                f"missing_flag=False does not support missing values, but y of series {panel.ids[series]!r} is missing "
                f"at {time}; fill it, or use missing_flag=True"
            )
        if self.likelihood.counts:
            self._check_counts(panel)
        return WindowCutter(
            panel,
            static,
            arguments.layout(resolved.season, resolved.lags),
            resolved.context,
            scaling=arguments.scaling,
            scaler=arguments.scaler,
            cycles=resolved.cycles,
            counts=self.likelihood.counts,
            scale_input=arguments.reads_scale(),
            log_scale=resolved.log_scale,
        )

    def _check_counts(self, panel: Panel) -> None:
        invalid = np.flatnonzero((panel.y < 0) | (panel.y != np.floor(panel.y)) & ~np.isnan(panel.y))
        if len(invalid):
            series = int(np.searchsorted(panel.bounds, invalid[0], side="right")) - 1
            time = panel.time_text(series, int(invalid[0] - panel.bounds[series]))
            raise ValueError(
                f"likelihood {self.likelihood.name!r} requires counts, but y of series {panel.ids[series]!r} is "
                f"{panel.y[invalid[0]]:g} at {time}; use likelihood='student_t' for real numbers"
            )

    def _datasets(self, cutter: WindowCutter) -> tuple[Batches, Batches | None, np.ndarray]:
        """Return the training batches, those of the last windows, whose targets are held out, and their origins."""
        counts, stride = self._validation_windows(cutter)
        held_out = np.where(counts, cutter.horizon + (counts - 1) * stride, 0)
        origins = cutter.window_origins(held_out)
        self._check_training_windows(cutter, origins, held_out)
        batch_size = self.recipe.batch_size
        updates = self.arguments.updates_per_epoch or min(-(-len(origins) // batch_size), MAX_UPDATES_PER_EPOCH)
        train = cutter.dataset(origins, batch_size, seed=self.arguments.seed, steps=updates, horizon_only=False)
        last = cutter.last_origins(counts, stride)
        if not len(last):
            return train, None, last
        return train, cutter.dataset(last, VALIDATION_BATCH_SIZE, seed=None, steps=None, horizon_only=True), last

    def _check_training_windows(self, cutter: WindowCutter, origins: np.ndarray, held_out: np.ndarray) -> None:
        """Raise a ValueError if there are no training windows, or warn if a series has none."""
        panel = cutter.panel
        unused = np.setdiff1d(np.arange(len(panel)), cutter.series_of(origins))
        if not len(unused):
            return
        required = cutter.min_context() + self.horizon
        example = f"series {panel.ids[unused[0]]!r} has {panel.lengths[unused[0]]} steps"
        if held_out[unused[0]]:
            example += f", of which {held_out[unused[0]]} are held out for validation"
        message = (
            f"{len(unused)} of {len(panel)} series have no training window, which requires {required} steps with "
            f"values in its context and its horizon, for example {example}"
        )
        if len(unused) == len(panel):
            raise ValueError(f"{message}; pass longer series, or a smaller horizon, context, or validation_windows")
        warnings.warn(f"{message}; the network is not trained on them", stacklevel=3)

    def _validation_windows(self, cutter: WindowCutter) -> tuple[np.ndarray, int]:
        """Return the number of held-out windows of each series, (series,), and the steps between them."""
        stride, lengths = max(1, self.horizon // 2), cutter.panel.lengths
        wanted = self.arguments.validation_windows
        if wanted is not None:
            held_out = self.horizon + (wanted - 1) * stride if wanted else 0
            required = cutter.min_context() + self.horizon + held_out
            cutter.panel.check_lengths(required, f"training with validation_windows={wanted}")
            return np.full(len(lengths), wanted), stride
        first = np.maximum(np.minimum(cutter.context, (lengths - 2 * self.horizon) // 2), cutter.min_context())
        room = lengths - first - 2 * self.horizon  # steps left for more windows than one
        share = np.maximum((MAX_VALIDATION_SHARE * lengths).astype(np.int64) - self.horizon, 0)
        most = max(1, min(MAX_VALIDATION_WINDOWS, MAX_VALIDATION_BATCHES * VALIDATION_BATCH_SIZE // len(lengths)))
        counts = np.minimum(most, 1 + np.minimum(room, share) // stride)
        return np.where(room >= 0, counts, 0), stride

    def _build(self, cutter: WindowCutter) -> SequenceModel:
        from deeprnn_keras.models import SequenceModel

        arguments = self.arguments
        return SequenceModel(
            cutter.input_width(),
            cutter.layout.output_width(self.likelihood.num_parameters),
            arguments.units,
            arguments.num_layers,
            arguments.cell,
            kind="numbers",
            per_step=cutter.layout.per_step,
            **{"name": "forecaster", **arguments.network},
        )

    # === Forecasts ===

    def forecast(
        self,
        df: Frame | ArrayLike | None = None,
        quantiles: Sequence[float] | None = None,
        *,
        num_samples: int = 200,
        seed: int | None = None,
    ) -> Any:  # noqa: ANN401 - a frame of the user's library
        """Return the forecast of the H steps after the last value of y of each series.

        Args:
            df: Series to forecast, which need not have been in the training data. Their last T steps are read, and the
                steps before them that lags need; series with fewer steps are padded. None: the series of the training
                data and of `update`.
            quantiles: Probabilities of the quantiles. None: 0.1, 0.5, and 0.9; none for a likelihood without quantiles.
            num_samples: Number of sample paths for the quantiles; only for strategy="recursive".
            seed: Random seed of the sample paths.

        Returns:
            A frame of the library of `df` with the columns unique_id, ds, y_hat (the median), and q0.1, q0.5, q0.9; a
            dictionary of arrays if the data are arrays.

        Raises:
            ValueError: If the forecaster is not trained, known-future covariates end before the horizon, a static
                category is unknown, or, with missing_flag=False, a series is shorter than T.
        """
        probabilities = self._quantiles(quantiles)
        num_samples = checks.positive_int("num_samples", num_samples)
        seed = checks.generator_seed("seed", seed)
        fitted, carried = self._carried(df)
        values = self._predict(self._builder(fitted), carried, (0.5, *probabilities), num_samples, seed)
        steps = carried.raw.steps[:, -1:] + 1 + np.arange(self.horizon)
        columns: dict[str, Any] = {
            "unique_id": [name for name in fitted.ids for _ in range(self.horizon)],
            "ds": fitted.frequency.times(steps.ravel()),
            "y_hat": values[0].ravel(),
        }
        columns |= {f"q{p:g}": quantile.ravel() for p, quantile in zip(probabilities, values[1:], strict=True)}
        return build_frame(columns, fitted.frequency, fitted.kind)

    def sample(
        self, df: Frame | ArrayLike | None = None, num_samples: int = 100, *, seed: int | None = None
    ) -> np.ndarray:
        """Return sample paths of the H steps after the last value of each series, (series, `num_samples`, H).

        A path keeps the dependence between its steps, for example for the distribution of their sum.

        Args:
            df: As for `forecast`.
            num_samples: Number of paths per series.
            seed: Random seed.

        Raises:
            ValueError: As for `forecast`, and if the strategy is not "recursive".
        """
        num_samples = checks.positive_int("num_samples", num_samples)
        seed = checks.generator_seed("seed", seed)
        if self.arguments.strategy != "recursive":
            raise ValueError(
                f"sample requires strategy='recursive', whose steps depend on each other, got "
                f"strategy={self.arguments.strategy!r}; use forecast(quantiles=...)"
            )
        fitted, carried = self._carried(df)
        return self._paths(self._builder(fitted), carried, num_samples, seed)

    def update(self, df: Frame | ArrayLike) -> Self:
        """Read new observations of the series of the training data, at a cost of one step each.

        The network continues from its stored states, and the scale of each series remains that of its context in `fit`.
        The weights do not change.

        Args:
            df: Rows after the last value of y of each series; series without new rows may be absent. Rows with
                known-future covariates must reach to the new horizon before the next `forecast`.

        Returns:
            The forecaster.

        Raises:
            ValueError: If a series is unknown, or its rows do not follow the last one.
        """
        fitted = self._require_fitted()
        panel, _ = read_panel(df, self.arguments.covariates, frequency=fitted.frequency)
        positions = {name: row for row, name in enumerate(fitted.ids)}
        unknown = [name for name in panel.ids if name not in positions]
        if unknown:
            raise ValueError(
                f"series {unknown[0]!r} is not in the training data; pass its history to forecast(df), or train again"
            )
        rows = np.array([positions[name] for name in panel.ids])
        gaps = self._gaps(fitted, panel, rows)
        cutter = self._cutter(panel, fitted.carried.static[rows], fitted)
        carried = fitted.carried
        for count in np.unique(panel.lengths + gaps):
            chosen = np.flatnonzero(panel.lengths + gaps == count)
            new = _new_steps(cutter, chosen, gaps[chosen])
            advanced = streams.advance(self._require_program(), cutter.builder, carried.rows(rows[chosen]), new)
            advanced = replace(advanced, future=cutter.future(chosen))
            carried = carried.replaced(rows[chosen], advanced)
        self._fitted = replace(fitted, carried=carried)
        return self

    def _gaps(self, fitted: Fitted, panel: Panel, rows: np.ndarray) -> np.ndarray:
        """Return the number of missing steps between the last value of each series and its new rows."""
        next_steps = fitted.carried.raw.steps[rows, -1] + 1
        gaps = panel.first_steps - next_steps
        early = np.flatnonzero(gaps < 0)
        if len(early):
            last = fitted.frequency.times(next_steps[early[:1]] - 1)[0]
            raise ValueError(
                f"rows of series {panel.ids[early[0]]!r} begin at {panel.time_text(int(early[0]), 0)}, but must begin "
                f"after {format_time(last, fitted.frequency.zone)}, its last value; pass new rows only"
            )
        late = np.flatnonzero(gaps > 0)
        if len(late) and (self.arguments.past or self.arguments.known_future or not self.arguments.missing_flag):
            raise ValueError(
                f"rows of series {panel.ids[late[0]]!r} begin {gaps[late[0]]} steps late, at "
                f"{panel.time_text(int(late[0]), 0)}; covariates and missing_flag=False require a row for every step"
            )
        return gaps

    # === Evaluation ===

    def evaluate(
        self,
        df: Frame | ArrayLike,
        windows: int = 20,
        *,
        stride: int | None = None,
        baselines: Sequence[str] = ("seasonal_naive", "ets", "theta"),
        num_samples: int = 200,
        seed: int | None = 0,
        console: Console | None = None,
    ) -> Evaluation:
        """Compare forecasts from several origins with the values that followed, and with those of simple methods.

        Each forecast reads values up to its origin only. The metrics are means over series and windows: MASE, sMAPE,
        weighted quantile loss, CRPS (approximated by quantiles 0.1 to 0.9), and the coverage of the 80% interval.

        Args:
            df: Series with the values to predict. For an honest comparison, the last windows must not have been in the
                training data.
            windows: Number of origins, the last of which is H steps before the end of each series.
            stride: Number of steps between origins. None: H, so that the windows do not overlap.
            baselines: Methods to compare with: "seasonal_naive", "ets", "theta".
            num_samples: As for `forecast`.
            seed: Random seed of the sample paths.
            console: A `rich.console.Console` for a progress bar; None shows none.

        Returns:
            The metrics of each method; `print` shows them as a table.

        Raises:
            ValueError: If a series is too short for the windows.
            ImportError: If utilsforecast or statsmodels is missing.
        """
        from deeprnn_keras.forecasting.evaluation import evaluate

        return evaluate(
            self,
            df,
            checks.positive_int("windows", windows),
            stride=self.horizon if stride is None else checks.positive_int("stride", stride),
            baselines=tuple(baselines),
            num_samples=checks.positive_int("num_samples", num_samples),
            seed=checks.generator_seed("seed", seed),
            console=console,
        )

    def plot(
        self,
        df: Frame | ArrayLike,
        *,
        series: Sequence[object] | None = None,
        history: int | None = None,
        seed: int | None = 0,
    ) -> Figure:
        """Plot the end of series, the median forecast, and the 80% interval.

        Args:
            df: As for `forecast`.
            series: Names of the series; None for the first four.
            history: Number of steps before the forecast to show; None for three horizons.
            seed: Random seed of the sample paths.

        Returns:
            A matplotlib figure.

        Raises:
            ValueError: As for `forecast`, and if a series is unknown.
        """
        from deeprnn_keras.forecasting.plots import plot_forecast

        history = checks.positive_int_or_none("history", history)
        return plot_forecast(self, df, series, history or 3 * self.horizon, checks.generator_seed("seed", seed))

    # === Levels ===

    def windows(self, df: Frame | ArrayLike) -> OriginWindows:
        """Return the window that the network has read at each possible origin of a forecast.

        They are the inputs of `probe_levels(forecaster, df, target)`.

        Args:
            df: Series, as for `forecast`. Origins are followed by at least H steps.

        Raises:
            ValueError: If the forecaster is not trained, or no series has T + H steps.
        """
        from deeprnn_keras.forecasting.origins import OriginWindows

        fitted = self._require_fitted()
        panel, _ = self._read(df, fitted)
        static, _ = encode_static(panel, self.arguments.static, fitted.encoding)
        windows = OriginWindows(self._cutter(panel, static, fitted))
        if not len(windows):
            required, horizon = fitted.context + self.horizon, self.horizon
            panel.check_lengths(required, f"a window of context={fitted.context} and horizon={horizon}")
        return windows

    # === Files ===

    def save(self, path: PathLike) -> None:
        """Save the forecaster in a directory: its arguments, the Keras model, and the states of the series.

        Args:
            path: Directory, which must be empty or not exist.

        Raises:
            ValueError: If the directory is not empty, or the forecaster is not trained.
        """
        from deeprnn_keras.forecasting.saving import save

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
        from deeprnn_keras.forecasting.saving import load

        return load(cls, path)

    def _settings(self) -> str:
        """Return the arguments as one JSON text."""
        from deeprnn_keras.forecasting.saving import settings

        return settings(self)

    def _describe(self) -> Config:
        """Return what follows from the training data, without the series, as JSON values."""
        from deeprnn_keras.forecasting.saving import describe

        return describe(self._require_fitted())

    def _restore(self, model: SequenceModel, values: Config) -> Self:
        """Receive a trained network and the result of its `_describe`; no series has then been read."""
        from deeprnn_keras.forecasting.saving import restore

        restore(self, model, values)
        return self

    # === Parts of a forecast ===

    def _require_fitted(self) -> Fitted:
        if self._fitted is None:
            raise ValueError(NOT_FITTED)
        return self._fitted

    def _require_program(self) -> Program:
        """Return the network as a program, lowered once after training."""
        from deeprnn_keras.program.lowering import lower

        if self.model is None:
            raise ValueError(NOT_FITTED)
        if self._program is None:
            self._program = lower(self.model)
        return self._program

    def _quantiles(self, quantiles: Sequence[float] | None) -> tuple[float, ...]:
        if quantiles is None:
            return QUANTILES if self.likelihood.has_quantiles else ()
        return check_probabilities("quantiles", quantiles)

    def _builder(self, fitted: Fitted) -> InputBuilder:
        layout = self.arguments.layout(fitted.season, fitted.lags)
        return InputBuilder(fitted.frequency, layout, fitted.cycles, fitted.log_scale)

    def _carried(self, df: Frame | ArrayLike | None) -> tuple[Fitted, Carried]:
        """Return the states after the history of the series of `df`, or of the training data."""
        fitted = self._require_fitted()
        if df is None:
            if not fitted.ids:
                raise ValueError("this Forecaster has trained weights and has read no series; pass df")
            self._check_future(fitted)
            return fitted, fitted.carried
        panel, kind = self._read(df, fitted)
        panel.check_future(self.horizon)
        static, _ = encode_static(panel, self.arguments.static, fitted.encoding)
        carried = self._begin(self._cutter(panel, static, fitted))
        return replace(fitted, ids=panel.ids, kind=kind, carried=carried), carried

    def _read(self, df: Frame | ArrayLike, fitted: Fitted) -> tuple[Panel, FrameKind]:
        panel, kind = read_panel(df, self.arguments.covariates, frequency=fitted.frequency)
        if not self.arguments.missing_flag:
            panel.check_lengths(fitted.context, f"a forecast from context={fitted.context}")
        return panel, kind

    def _check_future(self, fitted: Fitted) -> None:
        missing = np.isnan(fitted.carried.future).any(axis=(1, 2))
        if missing.any():
            name = fitted.ids[int(np.argmax(missing))]
            raise ValueError(
                f"known-future covariates of series {name!r} end before the horizon of {self.horizon} steps; pass rows "
                "with y empty to update(df), or the series to forecast(df)"
            )

    def _begin(self, cutter: WindowCutter) -> Carried:
        """Return the states after the last T steps of each series of a panel."""
        series = np.arange(len(cutter.panel))
        future = cutter.future(series)
        ends = cutter.panel.bounds[1:]
        return streams.begin(self._require_program(), cutter, cutter.raw(ends, 0), ends - 1, cutter.static, future)

    def _predict(
        self,
        builder: InputBuilder,
        carried: Carried,
        probabilities: Sequence[float],
        num_samples: int,
        seed: int | None,
    ) -> list[np.ndarray]:
        """Return quantiles of the H steps, (series, H) each, in the units of the data."""
        shift, scale = (statistic[:, None] for statistic in carried.scales.y)
        if self.arguments.strategy == "recursive":
            count = num_samples if self.likelihood.has_quantiles else 1
            paths = self._paths(builder, carried, count, seed)
            return [np.quantile(paths, probability, axis=1) for probability in probabilities]
        program, beyond = self._require_program(), self._spread - 1
        median, *scaled = streams.quantiles(program, builder, carried, self.likelihood, (0.5, *probabilities))
        return [shift + scale * (quantile + beyond * (quantile - median)) for quantile in scaled]

    def _paths(self, builder: InputBuilder, carried: Carried, num_samples: int, seed: int | None) -> np.ndarray:
        """Return sample paths in the units of the data."""
        rng = np.random.default_rng(seed)
        paths = streams.sample_paths(self._require_program(), builder, carried, self.likelihood, num_samples, rng)
        shift, scale = carried.scales.y
        median = np.median(paths, axis=1, keepdims=True)
        return shift[:, None, None] + scale[:, None, None] * (paths + (self._spread - 1) * (paths - median))

    @property
    def _spread(self) -> float:
        return 1.0 if self._fitted is None else self._fitted.spread

    def __repr__(self) -> str:
        state = "not trained" if self._fitted is None else f"trained on {self._fitted.frequency} steps"
        arguments = self.arguments
        return (
            f"Forecaster(horizon={self.horizon}, cell={arguments.cell!r}, units={arguments.units}, "
            f"num_layers={arguments.num_layers}, likelihood={self.likelihood.name!r}, "
            f"strategy={arguments.strategy!r}): {state}"
        )


def _new_steps(cutter: WindowCutter, chosen: np.ndarray, gaps: np.ndarray) -> RawWindow:
    """Return the new steps of series, of equal number, with missing values for the steps before their first row."""
    panel = cutter.panel
    count = int(panel.lengths[chosen[0]] + gaps[0])
    y = np.full((len(chosen), count), np.nan)
    past = np.zeros((len(chosen), count, panel.past.shape[1]), np.float32)
    known = np.zeros((len(chosen), count, panel.known.shape[1]), np.float32)
    for row, (series, gap) in enumerate(zip(chosen, gaps, strict=True)):
        rows = slice(panel.bounds[series], panel.bounds[series + 1])
        y[row, gap:], past[row, gap:], known[row, gap:] = panel.y[rows], panel.past[rows], panel.known[rows]
    steps = (panel.first_steps[chosen] - gaps)[:, None] + np.arange(count)
    return RawWindow(y, ~np.isnan(y), past, known, steps)
