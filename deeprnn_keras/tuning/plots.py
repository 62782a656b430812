"""Pictures of an `SearchResults`: the heat map over L and h, and the objective against the number of weights."""

import math
from itertools import pairwise

import numpy as np

from deeprnn_keras.training.curve import MUTED_COLOR, TEXT_COLOR, VALIDATION_COLOR
from deeprnn_keras.training.files import atomic_write

EQUAL = 1.07  # sizes that a budget of equal weights allows: there is no front to draw
COLUMNS = 7  # of the heat map, where there are more different h


def plot_heat_map(results, path):
    """Draws the best value at each L and h, a PNG; empty where nothing was tried."""
    pyplot = _pyplot()
    layers = sorted({row.layers for row in results.rows}) or [1]
    edges, labels = _columns([row.width for row in results.rows])
    best = np.full((len(layers), len(labels)), np.nan)
    for row in reversed(results.rows):  # the best last
        place = layers.index(row.layers), _column(row.width, edges)
        if math.isnan(best[place]) or results.sign * row.value < results.sign * best[place]:
            best[place] = row.value
    figure, axes = pyplot.subplots(
        figsize=(1.6 + 0.95 * len(labels), 1.6 + 0.62 * len(layers)), dpi=120, layout="constrained"
    )
    colours = "viridis_r" if results.sign > 0 else "viridis"
    image = axes.imshow(best, aspect="auto", cmap=colours, origin="lower")
    for (y, x), value in np.ndenumerate(best):
        if math.isnan(value):
            axes.text(x, y, "·", ha="center", va="center", color=MUTED_COLOR)
        else:
            shade = image.cmap(image.norm(value))[:3]
            ink = "white" if np.dot(shade, [0.3, 0.59, 0.11]) < 0.5 else "black"
            axes.text(x, y, f"{value:.3f}", ha="center", va="center", color=ink, fontsize=9)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(layers)), layers)
    axes.set(xlabel="h, hidden units", ylabel="L, layers")
    axes.set_title(f"best {results.name} of {len(results.rows)} trials", loc="left", color=TEXT_COLOR, fontsize=11)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    _save(figure, path, pyplot)


def _columns(widths):
    """-> (the least h of each column and an end, labels)."""
    different = sorted(set(widths)) or [1]
    if len(different) <= COLUMNS:
        return [*different, different[-1] + 1], [str(width) for width in different]
    cuts = np.geomspace(different[0], different[-1] + 1, COLUMNS + 1)
    edges = sorted({math.ceil(cut - 1e-9) for cut in cuts})
    labels = [f"{low}" if low == high - 1 else f"{low} to\n{high - 1}" for low, high in pairwise(edges)]
    return edges, labels


def _column(width, edges):
    return max(number for number, edge in enumerate(edges[:-1]) if width >= edge)


def plot_weights(results, path):
    """Draws the objective against the number of weights, and where sizes differ what no smaller model beats."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(7.5, 4.4), dpi=120, layout="constrained")
    sized = [row for row in results.rows if row.weights is not None]
    for number, layers in enumerate(sorted({row.layers for row in sized})):
        rows = [row for row in sized if row.layers == layers]
        spread = [row.spread or 0.0 for row in rows]
        axes.errorbar(
            [row.weights for row in rows],
            [row.value for row in rows],
            yerr=spread if any(spread) else None,
            fmt="osD^vP*"[number % 7],
            markersize=6,
            elinewidth=1,
            color=f"C{number}",
            label=f"L = {layers}",
        )
    weights = [row.weights for row in sized]
    equal = not sized or max(weights) <= EQUAL * min(weights)
    if not equal:
        _draw_front(axes, results.pareto(), max(weights))
    if sized and max(weights) > 1.3 * min(weights):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(lambda value, _: _count(value) if f"{value:.0e}"[0] in "25" else "")
    axes.set(xlabel="weights", ylabel=results.name)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if equal else _count(value))
    best = results.best()
    axes.annotate(
        f"{best.cell} {best.layers} x {best.shown_units}",
        (best.weights, best.value),
        (8, -12 if results.sign > 0 else 8),
        textcoords="offset points",
        color=TEXT_COLOR,
        fontsize=9,
    )
    axes.margins(y=0.12)  # room for the name of the best
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", which="both", pad=5, labelsize=10)
    axes.set_title(f"size against {results.name}, {len(sized)} trials", loc="left", color=TEXT_COLOR, fontsize=11)
    axes.grid(axis="y", color="#e6eaee", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    _save(figure, path, pyplot)


def _draw_front(axes, front, end):
    """A step line that goes on to the right."""
    weights, values = [row.weights for row in front], [row.value for row in front]
    axes.step(
        [*weights, end],
        [*values, values[-1]],
        where="post",
        color=VALIDATION_COLOR,
        linewidth=1.2,
        zorder=1,
        label="Pareto front",
    )


def _count(value):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(figure, path, pyplot):
    with atomic_write(path) as temporary_path:
        figure.savefig(temporary_path)
    pyplot.close(figure)
