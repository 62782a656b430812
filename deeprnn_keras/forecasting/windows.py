"""`WindowCutter`: windows of a panel, scaled by what is known at the forecast origin, as batches for `model.fit`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deeprnn_keras._types import Tensor
from deeprnn_keras.data.batches import Batches, fingerprint
from deeprnn_keras.data.windows import window_plan
from deeprnn_keras.forecasting.calendar_features import calendar_features
from deeprnn_keras.forecasting.frequency import Frequency
from deeprnn_keras.forecasting.layouts import Layout, ScaledWindow
from deeprnn_keras.forecasting.panel import Panel, ranges
from deeprnn_keras.forecasting.scaling import Statistics, running_statistics, window_statistics

MIN_SPREAD = 1e-3  # of seasonal differences in units of the scale; those of an exact period are rounding errors
MIN_OBSERVED = 2  # steps of a series before the origin of a padded window
SCALE_SAMPLES = 4_096  # windows from which the distribution of the scale is estimated


@dataclass(frozen=True)
class Scales:
    """Shift and scale of the values and covariates of windows.

    Attributes:
        y: Those of the values, (n,) each.
        past: Those of past covariates, (n, p) each.
        known: Those of known-future covariates, (n, k) each.
        target: Scale of the targets, (n,): that of the values, or of their seasonal differences.
    """

    y: Statistics
    past: Statistics
    known: Statistics
    target: np.ndarray

    def rows(self, rows: np.ndarray) -> Scales:
        """Return those of some windows."""
        y, past, known = ((shift[rows], scale[rows]) for shift, scale in (self.y, self.past, self.known))
        return Scales(y, past, known, self.target[rows])


@dataclass(frozen=True)
class RawWindow:
    """Windows of the values and covariates of series, not scaled. Steps before the start of a series are NaN.

    Attributes:
        y: Values, (n, steps). Missing ones are NaN, or, after `imputed`, those of an earlier season.
        observed: True where a value is observed, (n, steps).
        past: Past covariates, (n, steps, p).
        known: Known-future covariates, (n, steps, k).
        steps: Steps of the grid, (n, steps).
    """

    y: np.ndarray
    observed: np.ndarray
    past: np.ndarray
    known: np.ndarray
    steps: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """The arrays, in the order of the attributes."""
        return self.y, self.observed, self.past, self.known, self.steps

    def columns(self, steps: slice) -> RawWindow:
        """Return some steps of the windows."""
        return RawWindow(*(array[:, steps] for array in self.arrays))

    def rows(self, rows: np.ndarray) -> RawWindow:
        """Return some of the windows."""
        return RawWindow(*(array[rows] for array in self.arrays))

    def joined(self, later: RawWindow) -> RawWindow:
        """Return these windows continued by later ones."""
        return RawWindow(*(np.concatenate(pair, axis=1) for pair in zip(self.arrays, later.arrays, strict=True)))

    def imputed(self, season: int) -> RawWindow:
        """Return the windows with each missing value replaced by the value one season earlier, if there is one."""
        if not season or self.observed.all():
            return self
        y = self.y.copy()
        for first in range(season, y.shape[1], season):
            block = slice(first, first + season)
            earlier = y[:, first - season : first][:, : y[:, block].shape[1]]
            y[:, block] = np.where(np.isnan(y[:, block]), earlier, y[:, block])
        return replace(self, y=y)


class InputBuilder:
    """Builds the inputs of a network from windows and the statistics of their context.

    Args:
        frequency: Grid of time steps.
        layout: Inputs and targets of the network.
        cycles: Cycles of the calendar features, as `calendar_cycles` returns them.
        log_scale: Mean and standard deviation of the logarithm of the scale in training, by which this logarithm is
            standardized as an input; None for no such input.
    """

    def __init__(
        self, frequency: Frequency, layout: Layout, cycles: tuple[str, ...], log_scale: tuple[float, float] | None
    ) -> None:
        self.frequency, self.layout, self.cycles, self.log_scale = frequency, layout, cycles, log_scale

    def scaled(self, raw: RawWindow, scales: Scales, static: np.ndarray) -> ScaledWindow:
        """Return windows scaled, with calendar features and the static features of their series."""
        z = np.nan_to_num((raw.y - scales.y[0][:, None]) / scales.y[1][:, None])
        past, known = (
            np.nan_to_num((values - shift[:, None]) / scale[:, None])
            for values, (shift, scale) in ((raw.past, scales.past), (raw.known, scales.known))
        )
        calendar = calendar_features(self.frequency.local_times(raw.steps), self.cycles) if self.cycles else None
        features = known if calendar is None else np.concatenate([calendar, known], axis=2)
        if self.log_scale is not None:
            mean, deviation = self.log_scale
            static = np.concatenate([static, (np.log(scales.y[1][:, None]) - mean) / deviation], axis=1)
        return ScaledWindow(z, raw.observed.astype(np.float32), features, past, static, scales.target / scales.y[1])


class WindowCutter:
    """Cuts windows of T steps of context and H steps of horizon from a panel.

    A window is denoted by its origin, the index in the panel of the first step of the horizon. Its context may begin
    before its series; these steps are missing values.

    Args:
        panel: The series.
        static: Static features of each series, (series, s).
        layout: Inputs and targets of the network.
        context: T.
        scaling: "window" for the statistics of the context, "series" for those of the series up to the origin, or None.
        scaler: "mean", "standard", or "robust".
        cycles: Cycles of the calendar features, as `calendar_cycles` returns them.
        counts: True if the targets are counts with the scale.
        scale_input: True if the inputs contain the logarithm of the scale.
        log_scale: Result of `log_scale` in training; None to determine it.
    """

    def __init__(
        self,
        panel: Panel,
        static: np.ndarray,
        layout: Layout,
        context: int,
        *,
        scaling: str | None,
        scaler: str,
        cycles: tuple[str, ...],
        counts: bool,
        scale_input: bool = False,
        log_scale: tuple[float, float] | None = None,
    ) -> None:
        self.panel, self.static, self.layout = panel, static, layout
        self.context, self.horizon = context, layout.horizon
        self.scaling, self.scaler, self.counts = scaling, scaler, counts
        self._running = running_statistics(panel.y, panel.bounds, scaler) if scaling == "series" else None
        self.log_scale = (log_scale or self._log_scale()) if scale_input else None
        self.builder = InputBuilder(panel.frequency, layout, cycles, self.log_scale)

    def input_width(self) -> int:
        """Return the number of features of a step, d."""
        known = self.panel.known.shape[1]
        features = 2 * len(self.builder.cycles) + known + self.static.shape[1] + self.panel.past.shape[1]
        features += len(self.layout.lags) + bool(self.layout.season) + (self.log_scale is not None)
        return 1 + self.layout.flags + features + self.layout.future_width(known)

    def _log_scale(self) -> tuple[float, float]:
        """Return mean and standard deviation of the logarithm of the scale, over windows at equal distances."""
        origins = self.window_origins(np.zeros(len(self.panel), np.int64))
        if not len(origins):
            return 0.0, 1.0
        chosen = origins[np.linspace(0, len(origins) - 1, min(len(origins), SCALE_SAMPLES)).astype(np.int64)]
        logarithms = np.log(self.scales(self.raw(chosen, 0), chosen - 1).y[1])
        deviation = float(logarithms.std())
        return float(logarithms.mean()), deviation if deviation > 0 else 1.0

    # === Origins of windows ===

    def window_origins(self, held_out: np.ndarray) -> np.ndarray:
        """Return the origins of all windows that end before the last `held_out` steps of their series, (series,).

        The context of a series shorter than 2 T + H may be padded down to half of its steps before the horizon.
        Windows without an observed value in their context or in their horizon are left out.
        """
        low, high = self.panel.bounds[:-1], self.panel.bounds[1:] - held_out - self.horizon
        shortest = np.maximum((high - low) // 2, self.min_context())
        first = low + np.minimum(self.context, shortest)
        return self._with_values(ranges(first, np.maximum(high + 1, first)))

    def last_origins(self, counts: np.ndarray, stride: int) -> np.ndarray:
        """Return the origins of the last `counts` windows of each series, (series,), `stride` steps apart."""
        series = np.repeat(np.arange(len(counts)), counts)
        number = ranges(np.zeros_like(counts), counts)  # 0, 1, ... in each series
        origins = self.panel.bounds[1:][series] - self.horizon - stride * (counts[series] - 1 - number)
        return self._with_values(origins[origins >= self.panel.bounds[:-1][series] + self.min_context()])

    def min_context(self) -> int:
        """Return the smallest number of steps of a series before an origin: T if the inputs have no flags."""
        return MIN_OBSERVED if self.layout.flags else self.context

    def _with_values(self, origins: np.ndarray) -> np.ndarray:
        if not np.isnan(self.panel.y).any():
            return origins
        counts = np.concatenate([[0], np.cumsum(~np.isnan(self.panel.y))])
        starts = np.maximum(origins - self.context, self.panel.bounds[self.series_of(origins)])
        return origins[(counts[origins] > counts[starts]) & (counts[origins + self.horizon] > counts[origins])]

    # === Windows ===

    def series_of(self, origins: np.ndarray) -> np.ndarray:
        """Return the number of the series of each origin."""
        return np.searchsorted(self.panel.bounds, origins - 1, side="right") - 1

    def raw(self, origins: np.ndarray, horizon: int) -> RawWindow:
        """Return the steps that the inputs of the context are read from, and `horizon` steps of the series after it."""
        panel, series = self.panel, self.series_of(origins)
        rows = origins[:, None] + np.arange(-self.context - self.layout.history, horizon)
        steps = panel.first_steps[series, None] + rows - panel.bounds[series, None]
        before = rows < panel.bounds[series, None]
        rows = np.maximum(rows, panel.bounds[series, None])
        y, past, known = panel.y[rows], panel.past[rows], panel.known[rows]
        if before.any():
            y[before] = past[before] = known[before] = np.nan
        return RawWindow(y, ~np.isnan(y), past, known, steps).imputed(self.layout.season)

    def future(self, series: np.ndarray) -> np.ndarray:
        """Return the known-future covariates of the H steps after series, (n, H, k), NaN where they are not known."""
        panel = self.panel
        result = np.full((len(series), self.horizon, panel.known.shape[1]), np.nan, np.float32)
        if not panel.known.shape[1]:
            return result
        rows = panel.future_bounds[series, None] + np.arange(self.horizon)
        given = rows < panel.future_bounds[series + 1, None]
        result[given] = panel.future[rows[given]]
        return result

    def scales(self, raw: RawWindow, ends: np.ndarray) -> Scales:
        """Return the statistics of windows from their T steps of context.

        Args:
            raw: Windows that begin with the context, after the `history` steps of the layout.
            ends: Index in the panel of the last step of each context.
        """
        count = len(raw.y)
        context = raw.columns(slice(self.layout.history, self.layout.history + self.context))
        if self.scaling is None:
            y: Statistics = (np.zeros(count), np.ones(count))
            past, known = ((np.zeros(a.shape[::2]), np.ones(a.shape[::2])) for a in (raw.past, raw.known))
            return Scales(y, past, known, np.ones(count))
        if self._running is None:
            y = window_statistics(np.where(context.observed, context.y, np.nan), self.scaler)
        else:
            y = (self._running[0][ends], self._running[1][ends])
        past, known = _covariate_statistics(context.past), _covariate_statistics(context.known)
        return Scales(y, past, known, self._target_scale(raw, y[1]))

    def _target_scale(self, raw: RawWindow, scale: np.ndarray) -> np.ndarray:
        """Return the root mean square of the seasonal differences in the context, or the scale of the values."""
        season = self.layout.season
        if not season:
            return scale
        context = slice(self.layout.history, self.layout.history + self.context)
        earlier = slice(context.start - season, context.stop - season)
        observed = raw.observed[:, context] & raw.observed[:, earlier]
        squares = np.square(np.where(observed, raw.y[:, context] - raw.y[:, earlier], 0.0))
        count = observed.sum(axis=1)
        spread = np.sqrt(squares.sum(axis=1) / np.maximum(count, 1))
        return np.where(count > 0, np.maximum(spread, MIN_SPREAD * scale), scale)

    def batch(self, origins: np.ndarray, horizon_only: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the inputs of the network, the targets, and their weights: 1 for observed values, else 0.

        Args:
            origins: Origins of the windows.
            horizon_only: True if targets within the context have weight 0.
        """
        raw = self.raw(origins, self.horizon)
        scales = self.scales(raw, origins - 1)
        window = self.builder.scaled(raw, scales, self.static[self.series_of(origins)])
        steps = self.layout.target_steps(self.context)
        count, known = self.layout.input_steps(self.context), raw.known.shape[2]
        x = self.layout.inputs(window, count, known, final=True)
        targets = steps + self.layout.history
        weights = window.observed[:, targets]
        if horizon_only or not self.layout.trains_on_context:
            weights = weights * (steps >= self.context)
        return x, self._targets(raw, window, scales, targets), weights.astype(np.float32)

    def _targets(self, raw: RawWindow, window: ScaledWindow, scales: Scales, steps: np.ndarray) -> np.ndarray:
        if not self.counts:
            origin = self.layout.history + self.context
            differences = window.z[:, steps] - self.layout.references(window.z, steps, origin)
            return (differences / window.ratio[:, None])[:, :, None].astype(np.float32)
        counts = np.nan_to_num(raw.y[:, steps])
        scale = np.broadcast_to(scales.y[1][:, None], counts.shape)
        return np.stack([counts, scale], axis=2).astype(np.float32)

    # === Batches ===

    def dataset(
        self, origins: np.ndarray, batch_size: int, *, seed: int | None, steps: int | None, horizon_only: bool
    ) -> Batches:
        """Return batches for `model.fit`, cut on demand.

        Args:
            origins: Origins of the windows.
            batch_size: Batch size, n.
            seed: Random seed of the order, which is new in every epoch; None for the given order.
            steps: Number of batches per epoch; None for one pass.
            horizon_only: As for `batch`.
        """
        import tensorflow as tf

        shapes = [(None, *array.shape[1:]) for array in self.batch(origins[:1], horizon_only)]

        def make_batch(chosen: Tensor) -> tuple[Tensor, ...]:
            tensors = tf.numpy_function(lambda rows: self.batch(rows, horizon_only), [chosen], [tf.float32] * 3)
            for tensor, shape in zip(tensors, shapes, strict=True):
                tensor.set_shape(shape)
            return tuple(tensors)

        about = {
            "kind": "forecasting windows",
            "values": fingerprint(self.panel.y, self.panel.past, self.panel.known),
            "windows": fingerprint(origins),
            "T": self.context,
            "horizon": self.horizon,
            "layout": self.layout.name,
            "lags": f"{self.layout.lags} {self.layout.season}",
            "scaling": f"{self.scaling} {self.scaler}",
            "n": batch_size,
            "seed": seed,
        }
        plan = window_plan(origins, batch_size, seed)
        return Batches(plan, [tf.TensorSpec((None,), tf.int64)], make_batch, about, steps)


def _covariate_statistics(context: np.ndarray) -> Statistics:
    """Return mean and standard deviation of each covariate over the context, (n, columns) each; 1 for constants.

    Steps before the start of a series, NaN, are not counted.
    """
    if not context.shape[2]:
        return context[:, 0], context[:, 0]
    shift, deviation = np.nanmean(context, axis=1), np.nanstd(context, axis=1)
    return shift, np.where(deviation > 1e-6 * np.abs(shift), deviation, 1.0)
