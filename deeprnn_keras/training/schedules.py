"""Learning-rate schedules as data: each says what the base rate is multiplied by, and when."""

import math
from dataclasses import dataclass

from deeprnn_keras import checks


@dataclass(frozen=True)
class CosineDecay:
    """Linear warm-up, then half a cosine from 1 down to `final` at the last update (Loshchilov & Hutter 2017).

    Args:
        final: the multiplier at the end, at least 0 and below 1.
        warmup: the share of all updates that warm up, at least 0 and below 1.

    >>> from deeprnn_keras.training import CosineDecay
    >>> CosineDecay(final=0.1, warmup=0.0).factor(update=99, updates_per_epoch=50, updates=100)
    0.1
    """

    final: float = 0.1
    warmup: float = 0.05

    def __post_init__(self):
        checks.rate("final", self.final)
        checks.rate("warmup", self.warmup)

    def factor(self, update, updates_per_epoch, updates):
        """The multiplier for update number `update` (from 0) of `updates`."""
        warm = self.warmup * updates
        if update < warm:
            return (update + 1) / (warm + 1)
        progress = (update - warm) / max(updates - 1 - warm, 1)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def __str__(self):
        return f"cosine to {self.final:g} of it, warm-up over {self.warmup:.0%}"


@dataclass(frozen=True)
class GeometricDecay:
    """1 for the first `after` epochs, then multiplied by `ratio` before every further one (Zaremba et al. 2014).

    Args:
        ratio: a positive number.
        after: epochs at the full rate.

    >>> from deeprnn_keras.training import GeometricDecay
    >>> decay = GeometricDecay(0.5, after=4)
    >>> [decay.factor(10 * epoch, updates_per_epoch=10, updates=60) for epoch in range(6)]
    [1.0, 1.0, 1.0, 1.0, 0.5, 0.25]
    """

    ratio: float
    after: int

    def __post_init__(self):
        checks.positive("ratio", self.ratio)
        checks.positive_int("after", self.after)

    def factor(self, update, updates_per_epoch, updates):
        """The multiplier for update number `update` (from 0)."""
        return self.ratio ** max(update // updates_per_epoch + 1 - self.after, 0)

    def __str__(self):
        return f"x {self.ratio:.4g} per epoch after epoch {self.after}"


@dataclass(frozen=True)
class StepDecay:
    """Multiplied by `ratio` after each of these epochs (Merity et al. 2018: ÷10 after 300 and 400).

    Args:
        ratio: a positive number.
        epochs: whole numbers, rising.

    >>> from deeprnn_keras.training import StepDecay
    >>> decay = StepDecay(0.1, epochs=(2, 3))
    >>> [round(decay.factor(10 * epoch, updates_per_epoch=10, updates=50), 9) for epoch in range(5)]
    [1.0, 1.0, 0.1, 0.01, 0.01]
    """

    ratio: float
    epochs: tuple

    def __post_init__(self):
        checks.positive("ratio", self.ratio)
        epochs = tuple(checks.positive_int("epochs", epoch) for epoch in self.epochs)
        if not epochs or list(epochs) != sorted(set(epochs)):
            raise ValueError(f"epochs must be increasing integers, got {self.epochs!r}")
        object.__setattr__(self, "epochs", epochs)

    def factor(self, update, updates_per_epoch, updates):
        """The multiplier for update number `update` (from 0)."""
        return self.ratio ** sum(update >= epoch * updates_per_epoch for epoch in self.epochs)

    def __str__(self):
        return f"x {self.ratio:.4g} after epochs {', '.join(map(str, self.epochs))}"


@dataclass(frozen=True)
class PlateauDecay:
    """Multiplied by `ratio` after each `patience` epochs in a row whose validation loss was no new best (Melis 2018).

    Args:
        ratio: a number between 0 and 1.
        patience: epochs.
        least: where the multiplier stops falling.

    >>> from deeprnn_keras.training import PlateauDecay
    >>> PlateauDecay(0.1, patience=2).after(drops=1)
    0.1
    """

    ratio: float
    patience: int = 1
    least: float = 0.0

    def __post_init__(self):
        checks.fraction("ratio", self.ratio)
        checks.positive_int("patience", self.patience)
        checks.rate("least", self.least)

    def after(self, drops):
        """The multiplier after so many plateaus."""
        return max(self.ratio**drops, self.least)

    def __str__(self):
        return f"x {self.ratio:.4g} after {self.patience} epochs without a new best"
