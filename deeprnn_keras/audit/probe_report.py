"""Report of `probe_levels`: the scores of the levels, as data, as text, and as a plot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deeprnn_keras._types import PathLike
from deeprnn_keras.training.curve import MUTED_COLOR, TEXT_COLOR
from deeprnn_keras.training.files import atomic_write

BAR_COLOR = "#2f6db3"


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
        """Plot the scores as bars.

        Args:
            path: PNG file to write.
            title: Title of the plot.

        Returns:
            The path.
        """
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(6.5, 0.9 + 0.42 * len(self)), dpi=120, layout="constrained")
        rows = list(reversed(self))
        lowest = min(0.0, self.baseline, *(row.score for row in rows))
        lengths = [max(row.score, -1.0) for row in rows]  # R² has no lower bound
        axes.barh([row.level for row in rows], lengths, color=BAR_COLOR, height=0.62)
        for index, (row, end) in enumerate(zip(rows, lengths, strict=True)):
            axes.annotate(f"{row.score:.3f}", (max(end, 0), index), (4, 0), textcoords="offset points", va="center")
        axes.axvline(self.baseline, color=MUTED_COLOR, linewidth=0.9, linestyle=(0, (4, 3)), label="baseline")
        axes.set_xlim(max(lowest, -1.0) * 1.05, 1.12)
        axes.set_xlabel(f"{self.metric} on held-out data", color=TEXT_COLOR)
        axes.set_title(title, loc="left", color=TEXT_COLOR, fontsize=10.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8.5, loc="lower right", bbox_to_anchor=(1.0, 0.98), borderaxespad=0)
        with atomic_write(path) as temporary_path:
            figure.savefig(temporary_path)
        pyplot.close(figure)
        return Path(path)
