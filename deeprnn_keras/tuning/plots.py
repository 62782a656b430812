"""Plots of search results: a heat map over L and h, and the objective against the number of parameters."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras._types import PathLike
from deeprnn_keras.training.plotting import (
    MUTED_COLOR,
    TEXT_COLOR,
    VALIDATION_COLOR,
    import_pyplot,
    note,
    save_figure,
    set_legend,
    set_title,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from deeprnn_keras.tuning.results import Row, SearchResults

EQUAL_SIZE_RATIO = 1.07  # maximum ratio of two sizes within a budget `params`
MINOR_LABELS_RATIO = 1000  # up to this ratio, 2 and 5 times powers of ten are labeled
LOG_RATIO = 10  # the axis of the number of parameters is logarithmic from this ratio on
MAX_COLUMNS = 7  # maximum for the heat map; if h has more values, they are grouped
MAX_OCTAVES = 9  # maximum number of columns whose edges are powers of two
OUTLIER_FACTOR = 5  # values this many times as far from the best as the median is are beyond the scale


# === Heat map ===
def plot_heat_map(results: SearchResults, path: PathLike) -> None:
    """Plot the best value of the objective for each L and h, as a PNG; the map is empty without trials."""
    layers = sorted({row.layers for row in results.rows}) or [1]
    edges, labels = _columns([row.mean_units for row in results.rows])
    best = _best_values(results, layers, edges)
    size = (max(5.0, 2.6 + 0.95 * len(labels)), 2.1 + 0.62 * len(layers))
    figure, axes = import_pyplot().subplots(figsize=size, dpi=120, layout="constrained")
    limits, extend = _scale(results, [value for value in best.flat if math.isfinite(value)])
    colormap = "viridis_r" if results.sign > 0 else "viridis"
    image = axes.imshow(best, aspect="auto", cmap=colormap, origin="lower", vmin=limits[0], vmax=limits[1])
    if results.rows:
        _write_values(axes, image, best)
        figure.colorbar(image, ax=axes, extend=extend, label=results.name, pad=0.02)
    else:
        note(axes, "no completed trial")
    axes.set_xticks(range(len(labels)), labels if results.rows else [""])
    axes.set_yticks(range(len(layers)), layers if results.rows else [""])
    axes.set(xlabel="h, hidden units", ylabel="L, layers")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    set_title(figure, f"Best {results.name} of {_count(len(results.rows))}")
    save_figure(figure, path)


def _write_values(axes: Axes, image: AxesImage, best: np.ndarray) -> None:
    """Write the value into each cell, in black or white, and a dot into cells without a trial."""
    for (y, x), value in np.ndenumerate(best):
        if math.isnan(value):
            axes.text(x, y, "·", ha="center", va="center", color=MUTED_COLOR)
        else:
            background = image.cmap(image.norm(value))[:3]
            color = "white" if np.dot(background, [0.3, 0.59, 0.11]) < 0.5 else "black"
            axes.text(x, y, _value_label(value), ha="center", va="center", color=color, fontsize=9)


def _best_values(results: SearchResults, layers: Sequence[int], edges: Sequence[int]) -> np.ndarray:
    best = np.full((len(layers), len(edges) - 1), np.nan)
    for row in reversed(results.rows):  # rows are sorted from best to worst
        position = layers.index(row.layers), bisect_right(edges, row.mean_units) - 1
        if math.isnan(best[position]) or results.sign * row.value < results.sign * best[position]:
            best[position] = row.value
    return best


def _scale(results: SearchResults, values: Sequence[float]) -> tuple[tuple[float | None, float | None], str]:
    """Return the limits of a scale for values of the objective, and at which end values lie beyond it.

    A few trials that diverged do not determine the scale: its end is at most OUTLIER_FACTOR times as far from the best
    value as the median.
    """
    if not values:
        return (None, None), "neither"
    best, worst = (min(values), max(values)) if results.sign > 0 else (max(values), min(values))
    end = best + OUTLIER_FACTOR * (statistics.median(values) - best)
    if end == best or abs(worst - best) <= abs(end - best):
        return (min(best, worst), max(best, worst)), "neither"
    return ((best, end), "max") if results.sign > 0 else ((end, best), "min")


def _columns(widths: Iterable[int]) -> tuple[list[int], list[str]]:
    """Return the edges of the columns, which are the smallest h of each and an exclusive end, and the labels.

    A column holds one h if there are few; otherwise from a power of two up to the next one, or, if h varies by a small
    factor, a range of equal width.
    """
    distinct = sorted(set(widths)) or [1]
    if len(distinct) <= MAX_COLUMNS:
        return [*distinct, distinct[-1] + 1], [str(width) for width in distinct]
    edges = _grouped_edges(distinct[0], distinct[-1])
    labels = [f"{low}" if low == high - 1 else f"{low} to\n{high - 1}" for low, high in pairwise(edges)]
    return edges, labels


def _grouped_edges(low: int, high: int) -> list[int]:
    """Return edges at round numbers; the first is at most `low`, and the last, which is exclusive, above `high`."""
    if high >= 8 * low:
        first, last = low.bit_length() - 1, high.bit_length()
        octaves = math.ceil((last - first) / MAX_OCTAVES)  # per column
        return [2**power for power in range(first, last + octaves, octaves)]
    sizes = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    step = next(size for size in sizes if high // size - low // size < MAX_COLUMNS)
    return list(range(low // step * step, (high // step + 1) * step + 1, step))


# === Objective against the number of parameters ===
def plot_num_params(results: SearchResults, path: PathLike) -> None:
    """Plot the objective against the number of parameters, as a PNG, with the Pareto front if sizes differ."""
    figure, axes = import_pyplot().subplots(figsize=(8, 4.4), dpi=120, layout="constrained")
    rows = results.sized_rows()
    axes.set(xlabel="parameters", ylabel=results.name)
    if rows:
        _plot_sizes(axes, results, rows)
    else:
        note(axes, "no trial with a known number of parameters")
    axes.tick_params(axis="x", which="both", pad=5, labelsize=10)
    style_axes(axes)
    set_title(figure, f"{results.name} against the number of parameters, {_count(len(rows))}")
    set_legend(figure, axes, "outside right upper", columns=1)
    save_figure(figure, path)


def _plot_sizes(axes: Axes, results: SearchResults, rows: Sequence[Row]) -> None:
    sizes = [row.num_params or 0 for row in rows]
    equal_size = max(sizes) <= EQUAL_SIZE_RATIO * min(sizes)
    _plot_rows(axes, rows)
    if not equal_size:
        _plot_front(axes, results.pareto(), max(sizes))
    if max(sizes) >= LOG_RATIO * min(sizes):
        axes.set_xscale("log")
        labeled = "25" if max(sizes) < MINOR_LABELS_RATIO * min(sizes) else ""
        axes.xaxis.set_minor_formatter(lambda value, _: _size_label(value) if f"{value:.0e}"[0] in labeled else "")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if equal_size else _size_label(value))
    axes.margins(y=0.12)  # space for the annotation
    _limit_values(axes, results, [row.value for row in rows])
    _annotate_best(axes, rows[0], above=results.sign < 0)


def _limit_values(axes: Axes, results: SearchResults, values: Sequence[float]) -> None:
    """End the axis before values that are beyond the scale, and state their number."""
    limits, extend = _scale(results, values)
    low, high = limits
    if extend == "neither" or low is None or high is None:
        return
    margin = 0.12 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    hidden = sum(not low - margin <= value <= high + margin for value in values)
    if hidden:
        text = f"{_count(hidden)} {'above' if extend == 'max' else 'below'} the axis"
        position, alignment = (0.99, 0.98 if extend == "max" else 0.02), "top" if extend == "max" else "bottom"
        axes.annotate(text, position, xycoords="axes fraction", ha="right", va=alignment, color=MUTED_COLOR, fontsize=9)


def _annotate_best(axes: Axes, best: Row, above: bool) -> None:
    """Write cell, L, and h next to the best trial, towards the middle of the axes."""
    position = best.num_params or 0, best.value
    axes.autoscale_view()
    fraction = axes.transAxes.inverted().transform(axes.transData.transform(position))[0]
    axes.annotate(
        f"{best.cell} {best.layers} x {best.units_label}",
        position,
        (-8 if fraction > 0.5 else 8, 8 if above else -12),
        textcoords="offset points",
        ha="right" if fraction > 0.5 else "left",
        color=TEXT_COLOR,
        fontsize=9,
    )


def _plot_rows(axes: Axes, rows: Sequence[Row]) -> None:
    """Plot the rows with error bars, one color and marker per L."""
    for number, layers in enumerate(sorted({row.layers for row in rows})):
        group = [row for row in rows if row.layers == layers]
        std = [row.std or 0.0 for row in group]
        axes.errorbar(
            [row.num_params or 0 for row in group],
            [row.value for row in group],
            yerr=std if any(std) else None,
            fmt="osD^vP*"[number % 7],
            markersize=6,
            elinewidth=1,
            color=f"C{number}",
            label=f"L = {layers}",
        )


def _plot_front(axes: Axes, front: Sequence[Row], end: int) -> None:
    """Plot the Pareto front as a step function that extends to `end`."""
    sizes, values = [row.num_params or 0 for row in front], [row.value for row in front]
    axes.step(
        [*sizes, end],
        [*values, values[-1]],
        where="post",
        color=VALIDATION_COLOR,
        linewidth=1.2,
        zorder=1,
        label="Pareto front",
    )


def _size_label(value: float) -> str:
    for suffix, unit in (("M", 1e6), ("k", 1e3)):
        if value >= unit:
            return f"{value / unit:.3g}{suffix}"
    return f"{value:.0f}"


def _value_label(value: float) -> str:
    if 1000 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:.3f}" if 0.01 <= abs(value) < 1000 or value == 0 else f"{value:.3g}"


def _count(number: int) -> str:
    return f"{number} trial{'' if number == 1 else 's'}"
