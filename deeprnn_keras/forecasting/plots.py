"""Plot of the end of series with their forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras._types import ArrayLike
from deeprnn_keras.forecasting.frames import Frame
from deeprnn_keras.forecasting.panel import Panel
from deeprnn_keras.training.plotting import (
    TRAIN_COLOR,
    VALIDATION_COLOR,
    import_pyplot,
    set_legend,
    set_title,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from deeprnn_keras.forecasting.forecaster import Forecaster

MAX_SERIES = 4
SAMPLES = 200
INTERVAL = (0.1, 0.9)


def plot_forecast(
    forecaster: Forecaster, df: Frame | ArrayLike, series: Sequence[object] | None, history: int, seed: int | None
) -> Figure:
    """Return a figure with one row per series; `Forecaster.plot` documents the arguments."""
    fitted, carried = forecaster._carried(df)
    rows = chosen_series(fitted.ids, series)
    panel, _ = forecaster._read(df, fitted)
    probabilities = (0.5, *INTERVAL) if forecaster.likelihood.has_quantiles else (0.5,)
    values = forecaster._predict(forecaster._builder(fitted), carried.rows(rows), probabilities, SAMPLES, seed)
    return draw_forecasts(panel, rows, values, history)


def chosen_series(ids: Sequence[object], series: Sequence[object] | None) -> np.ndarray:
    """Return the numbers of series, or of the first four.

    Raises:
        ValueError: If a series is unknown.
    """
    names = list(ids[:MAX_SERIES]) if series is None else list(series)
    unknown = [name for name in names if name not in ids]
    if unknown:
        raise ValueError(f"series {unknown[0]!r} is not in df; its series are {', '.join(map(repr, ids[:8]))}")
    return np.array([ids.index(name) for name in names])


def draw_forecasts(panel: Panel, rows: np.ndarray, values: Sequence[np.ndarray], history: int) -> Figure:
    """Return a figure with one row per series.

    Args:
        panel: The series.
        rows: Numbers of the series to plot.
        values: Medians, and the bounds of the interval if there are any, (rows, H) each.
        history: Number of last values to plot.
    """
    horizon = values[0].shape[1]
    figure, all_axes = import_pyplot().subplots(
        len(rows), figsize=(9, 2.6 * len(rows) + 0.8), squeeze=False, layout="constrained"
    )
    for row, (number, axes) in enumerate(zip(rows, all_axes[:, 0], strict=True)):
        past = panel.values(int(number))[-history:]
        steps = panel.end_steps()[number] + np.arange(-len(past), horizon)
        times = panel.frequency.local_times(steps)
        axes.plot(times[: len(past)], past, color=TRAIN_COLOR, label="values")
        axes.plot(times[len(past) :], values[0][row], color=VALIDATION_COLOR, label="median forecast")
        if len(values) > 1:
            band = {"color": VALIDATION_COLOR, "alpha": 0.2, "linewidth": 0, "label": "80 % interval"}
            axes.fill_between(times[len(past) :], values[1][row], values[2][row], **band)
        axes.set_ylabel(str(panel.ids[number]))
        style_axes(axes)
    set_title(figure, f"Forecast of {horizon} steps of {panel.frequency}")
    set_legend(figure, all_axes[0, 0])
    return figure
