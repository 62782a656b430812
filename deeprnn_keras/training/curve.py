"""Plot of the learning curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deeprnn_keras._types import PathLike
from deeprnn_keras.training.files import atomic_write

if TYPE_CHECKING:
    from deeprnn_keras.training.callbacks import LossHistory

TEXT_COLOR, MUTED_COLOR, TRAIN_COLOR, VALIDATION_COLOR = "#22303c", "#7b8794", "#9db8d2", "#c2410c"


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
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), dpi=120, layout="constrained")
    bits = 1 / math.log(2)
    updates: Sequence[float] = [1]
    if history.steps:
        updates, nats = zip(*history.steps, strict=True)
        axes.plot(updates, [bits * value for value in nats], color=TRAIN_COLOR, linewidth=1.2, label="training windows")
    if history.epochs:
        updates = [epoch["update"] for epoch in history.epochs]
        values = [bits * epoch["validation"] for epoch in history.epochs]
        axes.plot(updates, values, "o-", color=VALIDATION_COLOR, markersize=5, label="validation windows")
    limits = [value for _, value in references]
    last_update = max(updates[-1], 1)
    for name, value in references:
        axes.axhline(value, color=MUTED_COLOR, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.annotate(
            f"{name} {value:.2f}",
            (1, value),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            color=MUTED_COLOR,
            fontsize=9,
        )
    if final is not None:
        limits.append(final)
        axes.plot(
            [last_update],
            [final],
            "*",
            color=TEXT_COLOR,
            markersize=13,
            clip_on=False,
            zorder=5,
            label=f"validation text, full context: {final:.3f}",
        )
    losses = [bits * nats for _, nats in history.steps] + [bits * epoch["validation"] for epoch in history.epochs]
    lowest = min(limits + losses, default=0)
    axes.set(
        xlabel="updates",
        ylabel=f"bits per {unit}",
        xlim=(0, last_update * 1.02),
        ylim=(lowest - 0.15, max([3.5, *limits]) + 0.1 if losses else None),
    )
    axes.set_title(title, loc="left", color=TEXT_COLOR, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6eaee", linewidth=0.8)
    if losses:
        axes.legend(frameon=False, loc="upper right")
    with atomic_write(path) as temporary_path:
        figure.savefig(temporary_path)
    pyplot.close(figure)
