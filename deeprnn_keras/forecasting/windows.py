"""`WindowCutter`: windows of a panel, scaled by what is known at the forecast origin, as batches for `model.fit`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from deeprnn_keras._types import Tensor
from deeprnn_keras.data.batches import Batches, fingerprint
from deeprnn_keras.data.windows import window_plan
from deeprnn_keras.forecasting.calendar_features import calendar_cycles, calendar_features
from deeprnn_keras.forecasting.frequency import Frequency
from deeprnn_keras.forecasting.layouts import Layout, ScaledWindow
from deeprnn_keras.forecasting.panel import Panel
from deeprnn_keras.forecasting.scaling import Statistics, running_statistics, window_statistics


@dataclass(frozen=True)
class Scales:
    """Shift and scale of the values and covariates of windows.

    Attributes:
        y: Those of the values, (n,) each.
        past: Those of past covariates, (n, p) each.
        known: Those of known-future covariates, (n, k) each.
    """

    y: Statistics
    past: Statistics
    known: Statistics

    def rows(self, rows: np.ndarray) -> Scales:
        """Return those of some windows."""
        return Scales(*((shift[rows], scale[rows]) for shift, scale in (self.y, self.past, self.known)))


@dataclass(frozen=True)
class RawWindow:
    """Windows of the values and covariates of series, not scaled.

    Attributes:
        y: Values, (n, steps), NaN where missing.
        past: Past covariates, (n, steps, p).
        known: Known-future covariates, (n, steps, k).
        steps: Steps of the grid, (n, steps).
    """

    y: np.ndarray
    past: np.ndarray
    known: np.ndarray
    steps: np.ndarray


class InputBuilder:
    """Builds the inputs of a network from windows and the statistics of their context.

    Args:
        frequency: Grid of time steps.
        layout: Inputs and targets of the network.
        calendar: Whether the inputs contain calendar features.
    """

    def __init__(self, frequency: Frequency, layout: Layout, calendar: bool) -> None:
        self.frequency, self.layout = frequency, layout
        self.cycles = calendar_cycles(frequency) if calendar else ()

    def scaled(self, raw: RawWindow, scales: Scales, static: np.ndarray) -> ScaledWindow:
        """Return windows scaled, with calendar features and the static features of their series."""
        observed = ~np.isnan(raw.y)
        z = np.where(observed, (raw.y - scales.y[0][:, None]) / scales.y[1][:, None], 0.0)
        past, known = (
            (values - shift[:, None]) / scale[:, None]
            for values, (shift, scale) in ((raw.past, scales.past), (raw.known, scales.known))
        )
        calendar = calendar_features(self.frequency.local_times(raw.steps), self.cycles) if self.cycles else None
        features = known if calendar is None else np.concatenate([calendar, known], axis=2)
        return ScaledWindow(z, observed.astype(np.float32), features, past, static)


class WindowCutter:
    """Cuts windows of T steps of context and H steps of horizon from a panel.

    Args:
        panel: The series.
        static: Static features of each series, (series, s).
        layout: Inputs and targets of the network.
        context: T.
        scaling: "window" for the statistics of the context, "series" for those of the series up to the origin, or None.
        scaler: "mean", "standard", or "robust".
        calendar: Whether the inputs contain calendar features.
        counts: Whether the targets are counts with the scale.
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
        calendar: bool,
        counts: bool,
    ) -> None:
        self.panel, self.static, self.layout = panel, static, layout
        self.context, self.horizon = context, layout.horizon
        self.scaling, self.scaler, self.counts = scaling, scaler, counts
        self.builder = InputBuilder(panel.frequency, layout, calendar)
        self._running = running_statistics(panel.y, panel.bounds, scaler) if scaling == "series" else None

    @property
    def length(self) -> int:
        """T + H."""
        return self.context + self.horizon

    def input_width(self) -> int:
        """Return the number of features of a step, d."""
        known = self.panel.known.shape[1]
        features = 2 * len(self.builder.cycles) + known + self.static.shape[1] + self.panel.past.shape[1]
        return 1 + self.layout.flags + features + self.layout.future_width(known)

    # === Starts of windows ===

    def window_starts(self, held_out: int) -> np.ndarray:
        """Return the starts of all windows that end before the last `held_out` steps of their series.

        Windows without an observed value in their context or in their horizon are left out.
        """
        bounds = self.panel.bounds
        parts = [np.arange(low, high - held_out - self.length + 1) for low, high in pairwise(bounds)]
        return self._with_values(np.concatenate(parts))

    def last_starts(self, count: int, stride: int) -> np.ndarray:
        """Return the starts of the last `count` windows of each series, `stride` steps apart."""
        starts = self.panel.bounds[1:, None] - self.length - stride * np.arange(count)
        return self._with_values(np.sort(starts[starts >= self.panel.bounds[:-1, None]]))

    def _with_values(self, starts: np.ndarray) -> np.ndarray:
        if not np.isnan(self.panel.y).any():
            return starts
        counts = np.concatenate([[0], np.cumsum(~np.isnan(self.panel.y))])
        origins = starts + self.context
        return starts[(counts[origins] > counts[starts]) & (counts[origins + self.horizon] > counts[origins])]

    # === Windows ===

    def series_of(self, starts: np.ndarray) -> np.ndarray:
        """Return the number of the series of each start."""
        return np.searchsorted(self.panel.bounds, starts, side="right") - 1

    def raw(self, starts: np.ndarray, length: int) -> RawWindow:
        """Return `length` steps from each start; all must be in the series of the start."""
        panel, series = self.panel, self.series_of(starts)
        rows = starts[:, None] + np.arange(length)
        steps = panel.first_steps[series, None] + rows - panel.bounds[series, None]
        return RawWindow(panel.y[rows], panel.past[rows], panel.known[rows], steps)

    def future(self, series: np.ndarray) -> np.ndarray:
        """Return the known-future covariates of the H steps after series, (n, H, k), NaN where they are not known."""
        panel = self.panel
        result = np.full((len(series), self.horizon, panel.known.shape[1]), np.nan, np.float32)
        for row, number in enumerate(series if panel.known.shape[1] else ()):
            given = panel.future[number][: self.horizon]
            result[row, : len(given)] = given
        return result

    def scales(self, raw: RawWindow, ends: np.ndarray) -> Scales:
        """Return the statistics of windows from their T steps of context.

        Args:
            raw: Windows that begin with the context.
            ends: Index in the panel of the last step of each context.
        """
        count = len(raw.y)
        context = slice(0, self.context)
        if self.scaling is None:
            y: Statistics = (np.zeros(count), np.ones(count))
            past, known = ((np.zeros(a.shape[::2]), np.ones(a.shape[::2])) for a in (raw.past, raw.known))
            return Scales(y, past, known)
        if self._running is None:
            y = window_statistics(raw.y[:, context], self.scaler)
        else:
            y = (self._running[0][ends], self._running[1][ends])
        return Scales(y, _covariate_statistics(raw.past[:, context]), _covariate_statistics(raw.known[:, context]))

    def batch(self, starts: np.ndarray, horizon_only: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the inputs of the network, the targets, and their weights: 1 for observed values, else 0.

        Args:
            starts: Starts of the windows.
            horizon_only: Whether targets within the context have weight 0.
        """
        raw = self.raw(starts, self.length)
        scales = self.scales(raw, starts + self.context - 1)
        window = self.builder.scaled(raw, scales, self.static[self.series_of(starts)])
        steps = self.layout.target_steps(self.context)
        count, known = self.layout.input_steps(self.context), raw.known.shape[2]
        x = self.layout.inputs(window, count, known, final=True)
        weights = window.observed[:, steps]
        if horizon_only or not self.layout.trains_on_context:
            weights = weights * (steps >= self.context)
        return x, self._targets(raw, window, scales, steps), weights.astype(np.float32)

    def _targets(self, raw: RawWindow, window: ScaledWindow, scales: Scales, steps: np.ndarray) -> np.ndarray:
        if not self.counts:
            return window.z[:, steps, None].astype(np.float32)
        counts = np.nan_to_num(raw.y[:, steps])
        scale = np.broadcast_to(scales.y[1][:, None], counts.shape)
        return np.stack([counts, scale], axis=2).astype(np.float32)

    # === Batches ===

    def dataset(
        self, starts: np.ndarray, batch_size: int, *, seed: int | None, steps: int | None, horizon_only: bool
    ) -> Batches:
        """Return batches for `model.fit`, cut on demand.

        Args:
            starts: Starts of the windows.
            batch_size: Batch size, n.
            seed: Random seed of the order, which is new in every epoch; None for the given order.
            steps: Number of batches per epoch; None for one pass.
            horizon_only: As for `batch`.
        """
        import tensorflow as tf

        shapes = [(None, *array.shape[1:]) for array in self.batch(starts[:1], horizon_only)]

        def make_batch(chosen: Tensor) -> tuple[Tensor, ...]:
            tensors = tf.numpy_function(lambda rows: self.batch(rows, horizon_only), [chosen], [tf.float32] * 3)
            for tensor, shape in zip(tensors, shapes, strict=True):
                tensor.set_shape(shape)
            return tuple(tensors)

        about = {
            "kind": "forecasting windows",
            "values": fingerprint(self.panel.y, self.panel.past, self.panel.known),
            "windows": fingerprint(starts),
            "T": self.context,
            "horizon": self.horizon,
            "layout": self.layout.name,
            "scaling": f"{self.scaling} {self.scaler}",
            "n": batch_size,
            "seed": seed,
        }
        plan = window_plan(starts, batch_size, seed)
        return Batches(plan, [tf.TensorSpec((None,), tf.int64)], make_batch, about, steps)


def _covariate_statistics(context: np.ndarray) -> Statistics:
    """Return mean and standard deviation of each covariate over the context, (n, columns) each; 1 for constants."""
    deviation = context.std(axis=1)
    shift = context.mean(axis=1)
    return shift, np.where(deviation > 1e-6 * np.abs(shift), deviation, 1.0)
