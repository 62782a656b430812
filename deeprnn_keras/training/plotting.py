"""Common parts of all plots: colors, titles, legends, labels, and saving."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from deeprnn_keras._types import PathLike
from deeprnn_keras.writing import atomic_write

if TYPE_CHECKING:
    from types import ModuleType

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Location = Literal["outside lower center", "outside lower right", "outside right upper"]

TEXT_COLOR, MUTED_COLOR, TRAIN_COLOR, VALIDATION_COLOR = "#22303c", "#7b8794", "#9db8d2", "#c2410c"
GRID_COLOR = "#e6eaee"
TITLE_CHARACTERS = 11  # per inch of the figure's width
LABEL_SPACING = 0.045  # minimum distance of neighboring labels, as a fraction of the height of the axes


def import_pyplot() -> ModuleType:
    """Return `matplotlib.pyplot` with a backend that only writes files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def set_title(figure: Figure, title: str) -> None:
    """Set the title of a figure, left-aligned and wrapped to its width."""
    width = int(TITLE_CHARACTERS * figure.get_figwidth())
    figure.suptitle(textwrap.fill(title, width), x=0.01, ha="left", color=TEXT_COLOR, fontsize=11)


def set_legend(figure: Figure, axes: Axes, location: Location = "outside lower center", columns: int = 3) -> None:
    """Place the legend outside of `axes`, where it covers no data; axes without labels get no legend."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc=location, ncols=columns, frameon=False, fontsize=9)


def style_axes(axes: Axes, grid: str | None = "y") -> None:
    """Remove the frame at the top and on the right, and draw grid lines across the axis `grid` below the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    if grid == "x":
        axes.grid(axis="x", color=GRID_COLOR, linewidth=0.8)
    elif grid == "y":
        axes.grid(axis="y", color=GRID_COLOR, linewidth=0.8)


def note(axes: Axes, text: str) -> None:
    """Write `text` into the middle of axes without data."""
    box = {"facecolor": "white", "edgecolor": "none"}
    axes.annotate(text, (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color=MUTED_COLOR, bbox=box)


def label_lines(axes: Axes, lines: Iterable[tuple[str, float]]) -> None:
    """Label horizontal lines (label, value) on the right of the axes; labels of close lines are moved apart.

    Call it after the limits of the value axis have been set.
    """
    bottom, top = axes.get_ylim()
    ordered = sorted(lines, key=lambda line: line[1])
    fractions = [(value - bottom) / (top - bottom) for _, value in ordered]
    for (label, value), fraction, position in zip(ordered, fractions, _spread(fractions), strict=True):
        moved = abs(position - fraction) > 1e-3
        axes.annotate(
            label,
            xy=(1, value),
            xycoords=("axes fraction", "data"),
            xytext=(1.025 if moved else 1.008, position),
            textcoords="axes fraction",
            va="center",
            color=MUTED_COLOR,
            fontsize=9,
            arrowprops={"arrowstyle": "-", "color": MUTED_COLOR, "linewidth": 0.6} if moved else None,
        )


def _spread(positions: Sequence[float]) -> list[float]:
    """Return ascending positions moved apart to LABEL_SPACING; a group of neighbors keeps its center."""
    groups: list[list[float]] = []
    for position in positions:
        groups.append([position])
        while len(groups) > 1 and _start(groups[-1]) - _end(groups[-2]) < LABEL_SPACING:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_start(group) + number * LABEL_SPACING for group in groups for number in range(len(group))]


def _start(group: Sequence[float]) -> float:
    return sum(group) / len(group) - (len(group) - 1) * LABEL_SPACING / 2


def _end(group: Sequence[float]) -> float:
    return sum(group) / len(group) + (len(group) - 1) * LABEL_SPACING / 2


def save_figure(figure: Figure, path: PathLike) -> None:
    """Save a figure as PNG and close it."""
    with atomic_write(path) as temporary_path:
        figure.savefig(temporary_path)
    import_pyplot().close(figure)
