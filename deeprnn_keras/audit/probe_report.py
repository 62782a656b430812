"""Report of `probe_levels`: the scores of the levels, as data, as text, and as a plot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deeprnn_keras._types import PathLike
from deeprnn_keras.training.plotting import (
    MUTED_COLOR,
    TEXT_COLOR,
    import_pyplot,
    save_figure,
    set_legend,
    set_title,
    style_axes,
)

BAR_COLOR = "#2f6db3"
LOWEST_BAR = -1.0  # R² has no lower bound; longer bars are truncated and marked


@dataclass(frozen=True)
class LevelScore:
    """Score of a linear readout.

    Attributes:
        level: "X" for the input of the stack, "H^(1)", ..., "H^(L)" for the outputs of its layers.
        width: Number of features.
        score: Score on held-out data.
    """

    level: str
    width: int
    score: float


class ProbeReport(list[LevelScore]):
    """List of `LevelScore` that prints as a table.

    Args:
        rows: The scores.
        metric: "accuracy" or "R²".
        baseline: Score of a constant prediction: the most frequent class, or the mean.

    Attributes:
        metric: Name of the metric.
        baseline: Score of a constant prediction.
    """

    def __init__(self, rows: Iterable[LevelScore], metric: str, baseline: float) -> None:
        super().__init__(rows)
        self.metric, self.baseline = metric, baseline

    @property
    def best(self) -> LevelScore:
        """Row with the highest score; of several such rows, the lowest level."""
        return max(self, key=lambda row: row.score)

    def __str__(self) -> str:
        lines = [f"{'level':<9}{'width':>6}{self.metric:>10}"]
        lines += [f"{row.level:<9}{row.width:>6}{row.score:>10.3f}" for row in self]
        return "\n".join([*lines, f"{'baseline':<9}{'':>6}{self.baseline:>10.3f}"])

    __repr__ = __str__

    def plot(self, path: PathLike, title: str = "Linear readout of the target from each level") -> Path:
        """Plot the scores as bars. Bars below -1 are truncated and marked with «.

        Args:
            path: PNG file to write.
            title: Title of the plot.

        Returns:
            The path.
        """
        figure, axes = import_pyplot().subplots(figsize=(6.5, 1.4 + 0.42 * len(self)), dpi=120, layout="constrained")
        rows = list(reversed(self))
        lengths = [max(row.score, LOWEST_BAR) for row in rows]
        axes.barh([row.level for row in rows], lengths, color=BAR_COLOR, height=0.62)
        for index, (row, end) in enumerate(zip(rows, lengths, strict=True)):
            text = f"{row.score:.3f}" + (" «" if row.score < LOWEST_BAR else "")
            axes.annotate(text, (max(end, 0), index), (4, 0), textcoords="offset points", va="center")
        baseline = max(self.baseline, LOWEST_BAR)
        axes.axvline(baseline, color=MUTED_COLOR, linewidth=0.9, linestyle=(0, (4, 3)), label="baseline")
        low, high = min(0.0, baseline, *lengths), max(0.0, baseline, *lengths)
        width = high - low or 1.0
        axes.set_xlim(low - 0.05 * width * (low < 0), high + 0.14 * width)  # space for the labels
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel(f"{self.metric} on held-out data", color=TEXT_COLOR)
        style_axes(axes, grid=None)
        set_title(figure, title)
        set_legend(figure, axes, "outside lower right")
        save_figure(figure, path)
        return Path(path)
