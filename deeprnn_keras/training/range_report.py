"""`RangeTest`: loss against learning rate, as data, as text and as a picture."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deeprnn_keras.training.curve import MUTED_COLOR, TEXT_COLOR, TRAIN_COLOR, VALIDATION_COLOR
from deeprnn_keras.training.files import atomic_write

BELOW_MINIMUM = 10.0  # at the minimum itself, the rate is about to be too high
SKIPPED = 0.1  # the share of updates at the beginning, where the smoothed loss is hardly smooth
NOISE = 6.0  # standard deviations of a smoothed loss; losses that only jitter fall so far in 2 tests of 100


@dataclass(frozen=True)
class RangeTest:
    """What `learning_rate_range_test` saw; printed, a summary.

    Attributes:
        rates, losses, smoothed: one number for each update, learning rates in a geometric row.
        blow_up: the rate at which the smoothed loss was above 4 times its minimum or not finite, or None.
        smoothing: the share of the past in each smoothed loss.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    blow_up: float | None
    smoothing: float = 0.9

    @property
    def suggestion(self):
        """The rate of the steepest fall of the smoothed loss against log rate, or None if the loss never fell.

        It is at most a tenth of the rate at the minimum. A fall within the noise of the losses is none.
        """
        first, lowest = self._searched()
        smoothed = np.array(self.smoothed[first : lowest + 1])
        if len(smoothed) < 2 or smoothed[0] - smoothed[-1] <= self._noise():
            return None
        steepest = self.rates[first + int(np.gradient(smoothed).argmin())]
        return min(steepest, self.rates[lowest] / BELOW_MINIMUM)

    @property
    def minimum(self):
        """(rate, smoothed loss) where the smoothed loss is lowest, or None if no loss was finite."""
        lowest = self._searched()[1]
        return None if lowest < 0 else (self.rates[lowest], self.smoothed[lowest])

    def _searched(self):
        """The first index to look at, and that of the minimum behind it (-1: nothing finite)."""
        finite = int(np.isfinite(self.smoothed).sum())
        first = min(int(SKIPPED * len(self.rates)), max(finite - 1, 0))
        return first, first + int(np.argmin(self.smoothed[first:finite])) if finite else -1

    def _noise(self):
        """The fall of the smoothed loss that chance alone may bring, from the differences of successive losses."""
        losses = np.array(self.losses[: self._searched()[1] + 1])
        differences = np.diff(losses)
        # medians, since the fall itself is among the differences
        spread = np.median(np.abs(differences - np.median(differences))) / 0.6745 / math.sqrt(2)
        return NOISE * spread * math.sqrt((1 - self.smoothing) / (1 + self.smoothing))

    def __str__(self):
        lines = [f"learning rates from {self.rates[0]:.3g} to {self.rates[-1]:.3g} in {len(self.rates)} updates"]
        if self.minimum:
            lines.append(f"lowest smoothed loss  {self.minimum[1]:.4g} at {self.minimum[0]:.3g}")
        lines.append(f"blow-up               {'none' if self.blow_up is None else f'at {self.blow_up:.3g}'}")
        return "\n".join([*lines, f"suggestion            {self._advice()}"])

    def _advice(self):
        rate = self.suggestion
        if rate is None:
            elsewhere = "end higher" if self.blow_up is None else "begin lower"
            return f"none: the loss never fell by more than its noise; {elsewhere}, or take larger batches"
        if rate < self.rates[0]:
            return f"{rate:.2g}, which is below this range; begin lower to be sure"
        if self.minimum[0] == self.rates[-1]:
            return f"{rate:.2g}, with the loss still falling at the end; end higher to be sure"
        return f"{rate:.2g}"

    def plot(self, path, title="Loss against learning rate"):
        """Draws losses and suggestion, a PNG; returns its path."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(8, 4.5), dpi=120, layout="constrained")
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
        if self.blow_up is not None:
            axes.axvline(self.blow_up, color=MUTED_COLOR, linewidth=0.9, linestyle=(0, (4, 3)), label="blow-up")
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=self._span())
        axes.set_title(title, loc="left", color=TEXT_COLOR, fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e6eaee", linewidth=0.8)
        axes.legend(frameon=False, loc="lower left" if self.suggestion else "best")
        with atomic_write(path) as temporary_path:
            figure.savefig(temporary_path)
        pyplot.close(figure)
        return Path(path)

    def _span(self):
        """The losses to draw: the fall and half as much above it, since a blow-up would press it flat."""
        lowest = self._searched()[1]
        fall = [*self.losses[: lowest + 1], *self.smoothed[: lowest + 1]]
        if len(fall) < 4:  # there is none
            fall = [value for value in self.smoothed if math.isfinite(value)] or [0.0]
        low, high = min(fall), max(fall)
        height = high - low or 1.0
        return low - 0.06 * height, high + 0.5 * height
