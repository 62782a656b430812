"""`ProbeReport`: the scores of the levels, as data, as text and as a picture."""

from dataclasses import dataclass
from pathlib import Path

from deeprnn_keras.training.curve import MUTED_COLOR, TEXT_COLOR
from deeprnn_keras.training.files import atomic_write

BAR = "#2f6db3"


@dataclass(frozen=True)
class LevelScore:
    """How well a linear readout does.

    Attributes:
        level: "X" for what the stack reads, "H^(1)", ..., "H^(L)".
        width: number of features.
        score: on held-out data.
    """

    level: str
    width: int
    score: float


class ProbeReport(list):
    """A list of `LevelScore`; printed, a table.

    Attributes:
        metric: "accuracy" or "R²".
        baseline: the score of a readout that sees nothing.
    """

    def __init__(self, rows, metric, baseline):
        super().__init__(rows)
        self.metric, self.baseline = metric, baseline

    @property
    def best(self):
        """The row with the highest score, the lowest level among equals."""
        return max(self, key=lambda row: row.score)

    def __str__(self):
        lines = [f"{'level':<8}{'width':>7}{self.metric:>10}"]
        lines += [f"{row.level:<8}{row.width:>7}{row.score:>10.3f}" for row in self]
        return "\n".join([*lines, f"{'nothing':<8}{'':>7}{self.baseline:>10.3f}"])

    __repr__ = __str__

    def plot(self, path, title="What a linear readout finds at each level"):
        """Draws the scores as bars, a PNG; returns its path."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(6.5, 0.9 + 0.42 * len(self)), dpi=120, layout="constrained")
        rows = list(reversed(self))
        low = min(0.0, self.baseline, *(row.score for row in rows))
        drawn = [max(row.score, -1.0) for row in rows]  # a readout may be worse than any axis
        axes.barh([row.level for row in rows], drawn, color=BAR, height=0.62)
        for place, (row, end) in enumerate(zip(rows, drawn, strict=True)):
            axes.annotate(f"{row.score:.3f}", (max(end, 0), place), (4, 0), textcoords="offset points", va="center")
        axes.axvline(self.baseline, color=MUTED_COLOR, linewidth=0.9, linestyle=(0, (4, 3)), label="nothing read")
        axes.set_xlim(max(low, -1.0) * 1.05, 1.12)
        axes.set_xlabel(f"{self.metric} on held-out data", color=TEXT_COLOR)
        axes.set_title(title, loc="left", color=TEXT_COLOR, fontsize=10.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8.5, loc="lower right", bbox_to_anchor=(1.0, 0.98), borderaxespad=0)
        with atomic_write(path) as temporary_path:
            figure.savefig(temporary_path)
        pyplot.close(figure)
        return Path(path)
