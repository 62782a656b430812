"""Plots of search results: a heat map over L and h, and the objective against the number of parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras._types import PathLike
from deeprnn_keras.training.curve import MUTED_COLOR, TEXT_COLOR, VALIDATION_COLOR
from deeprnn_keras.training.files import atomic_write

if TYPE_CHECKING:
    from types import ModuleType

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from deeprnn_keras.tuning.results import Row, SearchResults

EQUAL_SIZE_RATIO = 1.07  # maximum ratio of two sizes within a budget `params`
MAX_COLUMNS = 7  # maximum for the heat map; if h has more values, they are grouped


# === Heat map ===
def plot_heat_map(results: SearchResults, path: PathLike) -> None:
    """Plot the best value of the objective for each L and h, as a PNG; the map is empty without trials."""
    pyplot = _import_pyplot()
    layers = sorted({row.layers for row in results.rows}) or [1]
    edges, labels = _columns([row.mean_units for row in results.rows])
    best = _best_values(results, layers, edges)
    figure, axes = pyplot.subplots(
        figsize=(1.6 + 0.95 * len(labels), 1.6 + 0.62 * len(layers)), dpi=120, layout="constrained"
    )
    colormap = "viridis_r" if results.sign > 0 else "viridis"
    image = axes.imshow(best, aspect="auto", cmap=colormap, origin="lower")
    for (y, x), value in np.ndenumerate(best):
        if math.isnan(value):
            axes.text(x, y, "·", ha="center", va="center", color=MUTED_COLOR)
        else:
            background = image.cmap(image.norm(value))[:3]
            color = "white" if np.dot(background, [0.3, 0.59, 0.11]) < 0.5 else "black"
            axes.text(x, y, f"{value:.3f}", ha="center", va="center", color=color, fontsize=9)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(layers)), layers)
    axes.set(xlabel="h, hidden units", ylabel="L, layers")
    axes.set_title(f"best {results.name} of {len(results.rows)} trials", loc="left", color=TEXT_COLOR, fontsize=11)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    _save(figure, path, pyplot)


def _best_values(results: SearchResults, layers: Sequence[int], edges: Sequence[int]) -> np.ndarray:
    best = np.full((len(layers), len(edges) - 1), np.nan)
    for row in reversed(results.rows):  # rows are sorted from best to worst
        position = layers.index(row.layers), _column(row.mean_units, edges)
        if math.isnan(best[position]) or results.sign * row.value < results.sign * best[position]:
            best[position] = row.value
    return best


def _columns(widths: Iterable[int]) -> tuple[list[int], list[str]]:
    """Return the edges of the columns, which are the smallest h of each and an exclusive end, and the labels."""
    distinct = sorted(set(widths)) or [1]
    if len(distinct) <= MAX_COLUMNS:
        return [*distinct, distinct[-1] + 1], [str(width) for width in distinct]
    cuts = np.geomspace(distinct[0], distinct[-1] + 1, MAX_COLUMNS + 1)
    edges = sorted({math.ceil(cut - 1e-9) for cut in cuts})
    labels = [f"{low}" if low == high - 1 else f"{low} to\n{high - 1}" for low, high in pairwise(edges)]
    return edges, labels


def _column(width: int, edges: Sequence[int]) -> int:
    return max(number for number, edge in enumerate(edges[:-1]) if width >= edge)


# === Objective against the number of parameters ===
def plot_num_params(results: SearchResults, path: PathLike) -> None:
    """Plot the objective against the number of parameters, as a PNG, with the Pareto front if sizes differ."""
    pyplot = _import_pyplot()
    figure, axes = pyplot.subplots(figsize=(7.5, 4.4), dpi=120, layout="constrained")
    rows = results.sized_rows()
    _plot_rows(axes, rows)
    sizes = [row.num_params or 0 for row in rows]
    equal_size = not rows or max(sizes) <= EQUAL_SIZE_RATIO * min(sizes)
    if not equal_size:
        _plot_front(axes, results.pareto(), max(sizes))
    if rows and max(sizes) > 1.3 * min(sizes):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(lambda value, _: _size_label(value) if f"{value:.0e}"[0] in "25" else "")
    axes.set(xlabel="parameters", ylabel=results.name)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if equal_size else _size_label(value))
    best = results.best()
    axes.annotate(
        f"{best.cell} {best.layers} x {best.units_label}",
        (best.num_params, best.value),
        (8, -12 if results.sign > 0 else 8),
        textcoords="offset points",
        color=TEXT_COLOR,
        fontsize=9,
    )
    axes.margins(y=0.12)  # space for the annotation
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", which="both", pad=5, labelsize=10)
    axes.set_title(f"parameters and {results.name} of {len(rows)} trials", loc="left", color=TEXT_COLOR, fontsize=11)
    axes.grid(axis="y", color="#e6eaee", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    _save(figure, path, pyplot)


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


def _import_pyplot() -> ModuleType:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(figure: Figure, path: PathLike, pyplot: ModuleType) -> None:
    with atomic_write(path) as temporary_path:
        figure.savefig(temporary_path)
    pyplot.close(figure)
