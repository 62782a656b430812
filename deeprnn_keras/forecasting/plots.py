"""Plot of the end of series with their forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras._types import ArrayLike
from deeprnn_keras.forecasting.frames import Frame
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
    for row, axes in zip(range(len(names)), all_axes[:, 0], strict=True):
        past = panel.values(int(rows[row]))[-history:]
        steps = panel.end_steps()[rows[row]] + np.arange(-len(past), forecaster.horizon)
        times = fitted.frequency.local_times(steps)
        axes.plot(times[: len(past)], past, color=TRAIN_COLOR, label="values")
        axes.plot(times[len(past) :], values[0][row], color=VALIDATION_COLOR, label="median forecast")
        if len(values) > 1:
            band = {"color": VALIDATION_COLOR, "alpha": 0.2, "linewidth": 0, "label": "80 % interval"}
            axes.fill_between(times[len(past) :], values[1][row], values[2][row], **band)
        axes.set_ylabel(str(names[row]))
        style_axes(axes)
    set_title(figure, f"Forecast of {forecaster.horizon} steps of {fitted.frequency}")
    set_legend(figure, all_axes[0, 0])
    return figure
