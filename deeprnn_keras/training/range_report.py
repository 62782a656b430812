"""Result of a learning-rate range test, as data, text, and a plot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deeprnn_keras._types import PathLike
from deeprnn_keras.training.plotting import (
    MUTED_COLOR,
    TEXT_COLOR,
    TRAIN_COLOR,
    VALIDATION_COLOR,
    import_pyplot,
    save_figure,
    set_legend,
    set_title,
    style_axes,
)

# Training is nearly unstable at the learning rate of the lowest loss; the suggestion is at least this factor below it.
MARGIN = 10.0
# Fraction of the updates that is ignored at the start, because their smoothed loss averages only a few losses.
IGNORED_FRACTION = 0.1
# Smallest fall that is not attributed to noise, in standard deviations of the smoothed loss. Losses without a trend
# exceed it in 2 of 100 tests.
SIGNIFICANT_FALL = 6.0


@dataclass(frozen=True)
class RangeTestResult:
    """Result of `learning_rate_range_test`. `str()` gives a summary.

    Attributes:
        rates: Learning rate of each update, a geometric sequence.
        losses: Loss of each update.
        smoothed: Smoothed loss of each update.
        diverged_at: Learning rate at which training diverged: the smoothed loss exceeded 4 times its minimum, or the
            loss was not finite. None if training did not diverge.
        smoothing: Weight of the previous value in the smoothed loss.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    diverged_at: float | None
    smoothing: float = 0.9

    @property
    def suggestion(self) -> float | None:
        """Learning rate at which the smoothed loss falls most steeply against the logarithm of the learning rate.

        It is at most 0.1 times the learning rate at the minimum. None if the loss did not fall by more than its noise.
        """
        first, lowest = self._search_range()
        smoothed = np.array(self.smoothed[first : lowest + 1])
        if len(smoothed) < 2 or smoothed[0] - smoothed[-1] <= self._fall_by_chance():
            return None
        steepest = self.rates[first + int(np.gradient(smoothed).argmin())]
        return min(steepest, self.rates[lowest] / MARGIN)

    @property
    def minimum(self) -> tuple[float, float] | None:
        """Pair (learning rate, smoothed loss) at the lowest smoothed loss; None if no loss was finite."""
        lowest = self._search_range()[1]
        return None if lowest < 0 else (self.rates[lowest], self.smoothed[lowest])

    def _search_range(self) -> tuple[int, int]:
        """Return the index where the search starts and the index of the minimum, which is -1 if no loss is finite."""
        finite = int(np.isfinite(self.smoothed).sum())
        first = min(int(IGNORED_FRACTION * len(self.rates)), max(finite - 1, 0))
        return first, first + int(np.argmin(self.smoothed[first:finite])) if finite else -1

    def _fall_by_chance(self) -> float:
        """Return the largest fall of the smoothed loss that noise explains, from differences of successive losses."""
        losses = np.array(self.losses[: self._search_range()[1] + 1])
        differences = np.diff(losses)
        # medians, because the differences also contain the fall itself
        spread = np.median(np.abs(differences - np.median(differences))) / 0.6745 / math.sqrt(2)
        return SIGNIFICANT_FALL * spread * math.sqrt((1 - self.smoothing) / (1 + self.smoothing))

    def __str__(self) -> str:
        lines = [f"learning rates from {self.rates[0]:.3g} to {self.rates[-1]:.3g} in {len(self.rates)} updates"]
        if self.minimum:
            lines.append(f"lowest smoothed loss  {self.minimum[1]:.4g} at {self.minimum[0]:.3g}")
        lines.append(f"divergence            {'none' if self.diverged_at is None else f'at {self.diverged_at:.3g}'}")
        return "\n".join([*lines, f"suggestion            {self._advice()}"])

    def _advice(self) -> str:
        rate = self.suggestion
        if rate is None:
            change = "increase high" if self.diverged_at is None else "decrease low"
            return f"none: the loss did not fall by more than its noise; {change}, or use larger batches"
        if rate < self.rates[0]:
            return f"{rate:.2g}, which is below the tested range; decrease low to confirm it"
        if self.minimum is not None and self.minimum[0] == self.rates[-1]:
            return f"{rate:.2g}, but the loss was still falling at the end; increase high to confirm it"
        return f"{rate:.2g}"

    def plot(self, path: PathLike, title: str = "Loss against learning rate") -> Path:
        """Plot losses and suggestion as a PNG file, and return its path."""
        figure, axes = import_pyplot().subplots(figsize=(8, 4.5), dpi=120, layout="constrained")
        axes.plot(self.rates, self.losses, color=TRAIN_COLOR, linewidth=1.2, label="loss of each batch")
        axes.plot(self.rates, self.smoothed, color=TEXT_COLOR, linewidth=1.8, label="smoothed")
        if self.suggestion is not None:
            axes.axvline(self.suggestion, color=VALIDATION_COLOR, linewidth=1.2)
            axes.annotate(
                f"suggestion {self.suggestion:.2g}",
                (self.suggestion, 1),
                (5, -4),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                va="top",
                color=VALIDATION_COLOR,
            )
        if self.diverged_at is not None:
            axes.axvline(self.diverged_at, color=MUTED_COLOR, linewidth=0.9, linestyle=(0, (4, 3)), label="divergence")
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=self._ylim())
        style_axes(axes)
        set_title(figure, title)
        set_legend(figure, axes)
        save_figure(figure, path)
        return Path(path)

    def _ylim(self) -> tuple[float, float]:
        """Return limits of the loss axis that show the fall; including the divergence would flatten the curve."""
        lowest = self._search_range()[1]
        fall = [*self.losses[: lowest + 1], *self.smoothed[: lowest + 1]]
        if len(fall) < 4:  # the loss did not fall
            fall = [value for value in self.smoothed if math.isfinite(value)] or [0.0]
        low, high = min(fall), max(fall)
        height = high - low or 1.0
        return low - 0.06 * height, high + 0.5 * height
