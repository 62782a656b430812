"""Plot of the learning curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deeprnn_keras._types import PathLike
from deeprnn_keras.training.plotting import (
    MUTED_COLOR,
    TEXT_COLOR,
    TRAIN_COLOR,
    VALIDATION_COLOR,
    import_pyplot,
    label_lines,
    note,
    save_figure,
    set_legend,
    set_title,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from deeprnn_keras.training.callbacks import LossHistory

BITS = 1 / math.log(2)
MAX_MARKERS = 25  # a line with fewer points than this has markers
IGNORED_FRACTION = 0.1  # of the updates at the start, whose training losses may lie above the axes


def plot_curve(
    history: LossHistory,
    path: PathLike,
    title: str,
    references: Sequence[tuple[str, float]] = (),
    final: float | None = None,
    unit: str = "character",
) -> None:
    """Plot bits per character against updates, as a PNG file.

    Args:
        history: Losses in nats, by update and by epoch.
        path: Path of the file.
        title: Title of the plot.
        references: Pairs (name, bits per character), drawn as horizontal lines.
        final: Bits per character of the trained model on the whole validation text, with carried states, or None.
        unit: Unit of a symbol: "character", "word", or "byte".
    """
    figure, axes = import_pyplot().subplots(figsize=(8, 4.5), dpi=120, layout="constrained")
    training = [(update, BITS * nats) for update, nats in history.steps]
    validation = [(epoch["update"], BITS * epoch["validation"]) for epoch in history.epochs]
    last_update = max([1.0, *(update for update, _ in [*training, *validation])])
    if training:
        axes.plot(*zip(*training, strict=True), color=TRAIN_COLOR, linewidth=1.2, label="training windows")
    if validation:
        style = "o-" if len(validation) < MAX_MARKERS else "-"
        label = "validation windows"
        axes.plot(*zip(*validation, strict=True), style, color=VALIDATION_COLOR, markersize=5, label=label)
    for _, value in references:
        axes.axhline(value, color=MUTED_COLOR, linewidth=0.8, linestyle=(0, (4, 3)))
    if final is not None:
        label = f"validation text, full context: {final:.3f}"
        options = {"color": TEXT_COLOR, "markersize": 13, "clip_on": False, "zorder": 5}
        axes.plot([last_update], [final], "*", label=label, **options)
    settled = [bits for update, bits in training if update > IGNORED_FRACTION * last_update]
    levels = [*(value for _, value in references), *([] if final is None else [final])]
    shown = [bits for bits in [*settled, *(bits for _, bits in validation)] if math.isfinite(bits)]
    if not shown:
        note(axes, "no finite loss")
    _set_axes(axes, [*shown, *levels], last_update, unit)
    label_lines(axes, [(f"{name} {value:.2f}", value) for name, value in references])
    set_title(figure, title)
    set_legend(figure, axes)
    save_figure(figure, path)


def _set_axes(axes: Axes, values: Sequence[float], last_update: float, unit: str) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = 0.06 * (high - low) or 0.1
    axes.set(xlabel="updates", ylabel=f"bits per {unit}")
    axes.set(xlim=(0, 1.02 * last_update), ylim=(low - margin, high + margin))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    style_axes(axes)
