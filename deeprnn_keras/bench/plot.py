"""Plot of the time per training update of LSTM stacks in Keras, DeepRNN, and PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deeprnn_keras._types import PathLike
from deeprnn_keras.bench.case import Case
from deeprnn_keras.bench.results import Results
from deeprnn_keras.bench.summary import median_ms
from deeprnn_keras.training.plotting import (
    MUTED_COLOR,
    TEXT_COLOR,
    import_pyplot,
    save_figure,
    set_legend,
    set_title,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BARS = {"keras": ("Keras", "#c3ccd5"), "DeepRNN": ("DeepRNN", "#c2410c"), "torch": ("PyTorch", "#9db8d2")}
THICKNESS = 0.27
MAX_RATIO = 2.0  # longer bars are truncated and marked


def plot_step_times(results: Results, path: PathLike) -> bool:
    """Plot the time of each implementation, divided by that of Keras, as a group of bars per size; save it as PNG.

    Each bar is labeled with its time in milliseconds. Bars above a ratio of 2 are truncated and marked with ». A size
    is omitted unless both Keras and DeepRNN have been measured.

    Returns:
        True if a plot was saved, False if there is no size to plot.
    """
    groups = _groups(results)
    if not groups:
        return False
    figure, axes = import_pyplot().subplots(figsize=(8, 1.2 + 0.52 * len(groups)), dpi=120, layout="constrained")
    for index, (name, (label, color)) in enumerate(BARS.items()):
        bars = [(row, times[name]) for row, (_, times) in enumerate(groups) if name in times]
        positions = [row + (index - 1) * THICKNESS for row, _ in bars]
        ratios = [time / groups[row][1]["keras"] for row, time in bars]
        axes.barh(
            positions,
            [min(ratio, MAX_RATIO) for ratio in ratios],
            0.92 * THICKNESS,
            color=color,
            label=label if bars else None,
        )
        for position, ratio, (_, time) in zip(positions, ratios, bars, strict=True):
            _annotate(axes, ratio, position, time, name)
    _style(axes, [_label(case) for case, _ in groups])
    set_title(figure, f"Time per training update of LSTMs, {results['about']['device']}")
    set_legend(figure, axes)
    save_figure(figure, path)
    return True


def _groups(results: Results) -> list[tuple[Case, dict[str, float]]]:
    """Return (case, {name: milliseconds}) of each LSTM training case with measurements of Keras and DeepRNN."""
    groups = []
    for key, figures in results["cases"].items():
        case = Case.from_key(key)
        times = {name: median_ms(figures.get(name)) for name in BARS}
        measured = {name: time for name, time in times.items() if time is not None}
        if (case.cell, case.mode) == ("lstm", "train") and {"keras", "DeepRNN"} <= measured.keys():
            groups.append((case, measured))
    return sorted(groups, key=lambda group: group[0].sort_key)


def _label(case: Case) -> str:
    layers = "layer" if case.num_layers == 1 else "layers"
    return f"{case.num_layers} {layers} of {case.units} units\nbatch {case.batch_size}, {case.steps} steps"


def _annotate(axes: Axes, ratio: float, position: float, time: float, name: str) -> None:
    text = (f"{time:,.0f} ms" if time >= 10 else f"{time:.1f} ms") + (" »" if ratio > MAX_RATIO else "")
    highlighted = name == "DeepRNN"
    axes.annotate(
        text,
        (min(ratio, MAX_RATIO), position),
        (3, -0.5),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        color=TEXT_COLOR if highlighted else MUTED_COLOR,
        fontweight="bold" if highlighted else "normal",
    )


def _style(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels, fontsize=8, color=TEXT_COLOR)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, max(1.12, axes.get_xlim()[1] * 1.08))
    axes.set_xlabel("time relative to Keras", color=TEXT_COLOR, fontsize=9)
    style_axes(axes, grid="x")
    axes.spines["bottom"].set_color(MUTED_COLOR)
    axes.spines["left"].set_color(MUTED_COLOR)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8, colors=MUTED_COLOR)
