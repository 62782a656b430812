"""Plot of the end of series with their forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras._types import ArrayLike
from deeprnn_keras.forecasting.frames import Frame
from deeprnn_keras.forecasting.frequency import Frequency
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
    names = list(fitted.ids[:MAX_SERIES]) if series is None else list(series)
    unknown = [name for name in names if name not in fitted.ids]
    if unknown:
        raise ValueError(f"series {unknown[0]!r} is not in df; its series are {', '.join(map(repr, fitted.ids[:8]))}")
    rows = np.array([fitted.ids.index(name) for name in names])
    panel, _ = forecaster._read(df, fitted)
    probabilities = (0.5, *INTERVAL) if forecaster.likelihood.has_quantiles else (0.5,)
    values = forecaster._predict(forecaster._builder(fitted), carried.rows(rows), probabilities, SAMPLES, seed)
    figure, all_axes = import_pyplot().subplots(
        len(names), figsize=(9, 2.6 * len(names) + 0.8), squeeze=False, layout="constrained"
    )
    for row, axes in enumerate(all_axes[:, 0]):
        past = panel.values(int(rows[row]))[-history:]
        steps = panel.end_steps()[rows[row]] + np.arange(-len(past), forecaster.horizon)
        times = fitted.frequency.local_times(steps)
        _draw(axes, times, past, [one[row] for one in values])
        axes.set_ylabel("y" if len(fitted.ids) == 1 and names[row] == 0 else str(names[row]), color=TEXT_COLOR)
        axes.margins(x=0.01)
        style_axes(axes)
        _label_times(axes, fitted.frequency)
    shown = "" if len(names) == len(fitted.ids) else f" ({len(names)} of {len(fitted.ids)} series)"
    set_title(figure, f"Forecast of the next {duration(fitted.frequency, forecaster.horizon)}{shown}")
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
        band = {"color": VALIDATION_COLOR, "alpha": 0.2, "linewidth": 0, "label": "80 % interval"}
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
