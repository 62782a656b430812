"""Plot of the end of series with their forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras._types import ArrayLike
from deeprnn_keras.forecasting.frames import Frame
from deeprnn_keras.forecasting.frequency import Frequency
from deeprnn_keras.forecasting.panel import Panel
from deeprnn_keras.training.plotting import (
    MUTED_COLOR,
    TEXT_COLOR,
    VALIDATION_COLOR,
    import_pyplot,
    set_legend,
    set_title,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
        _draw(axes, panel.frequency.local_times(steps), past, [one[row] for one in values])
        name = panel.ids[number]
        axes.set_ylabel("y" if len(panel) == 1 and name == 0 else str(name), color=TEXT_COLOR)
        axes.margins(x=0.01)
        style_axes(axes)
        _label_times(axes, panel.frequency)
    shown = "" if len(rows) == len(panel) else f" ({len(rows)} of {len(panel)} series)"
    set_title(figure, f"Forecast of the next {duration(panel.frequency, horizon)}{shown}")
    set_legend(figure, all_axes[0, 0])
    return figure


def _draw(axes: Axes, times: np.ndarray, past: np.ndarray, forecast: Sequence[np.ndarray]) -> None:
    """Plot values and their forecast, which begins at the last value.

    Args:
        axes: The axes.
        times: Time stamps of the values and of the forecast.
        past: Values.
        forecast: Median, and the bounds of the interval if there is one, (H,) each.
    """
    count = len(past)
    axes.axvline(times[count - 1], color=MUTED_COLOR, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.plot(times[:count], past, color=TEXT_COLOR, linewidth=1.3, label="values")
    median, *bounds = (np.concatenate([past[-1:], one]) for one in forecast)
    if bounds:
        low, high = bounds
        band = {"color": VALIDATION_COLOR, "alpha": 0.2, "linewidth": 0, "label": "80% interval"}
        axes.fill_between(times[count - 1 :], low, high, **band)
    axes.plot(times[count - 1 :], median, color=VALIDATION_COLOR, linewidth=1.6, label="median forecast")


def _label_times(axes: Axes, frequency: Frequency) -> None:
    """Label time stamps with no more than what changes from one to the next."""
    if frequency.unit == "integer":
        axes.set_xlabel("step", color=TEXT_COLOR)
        return
    import matplotlib.dates

    locator = matplotlib.dates.AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(locator))


def duration(frequency: Frequency, count: int) -> str:
    """Return the duration of a number of steps as text: "24 hours", "24 steps of 15 minutes".

    >>> from deeprnn_keras.forecasting.frequency import Frequency
    >>> duration(Frequency("month", 1), 12), duration(Frequency("month", 3), 4), duration(Frequency("integer", 1), 1)
    ('12 months', '4 steps of 3 months', '1 step')
    """
    if frequency.unit == "integer":
        return f"{count} step{'s' if count > 1 else ''}"
    size, _, name = str(frequency).partition(" ")
    return f"{count} {name}{'s' if count > 1 else ''}" if size == "1" else f"{count} steps of {frequency}"
