"""Learning-rate schedules as dataclasses that return a factor of the base learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from deeprnn_keras import checks


class Schedule(Protocol):
    """Learning-rate schedule that depends only on the number of updates."""

    def factor(self, update: int, updates_per_epoch: int, updates: int) -> float:
        """Return the factor of the base learning rate.

        Args:
            update: Index of the update, from 0.
            updates_per_epoch: Number of updates per epoch.
            updates: Number of updates of the whole run.
        """
        ...


@dataclass(frozen=True)
class CosineDecay:
    """Linear warm-up, then cosine decay from 1 to `final` at the last update (Loshchilov & Hutter 2017).

    Args:
        final: Factor at the last update, in [0, 1).
        warmup: Fraction of all updates used for the warm-up, in [0, 1).

    >>> from deeprnn_keras.training import CosineDecay
    >>> CosineDecay(final=0.1, warmup=0.0).factor(update=99, updates_per_epoch=50, updates=100)
    0.1
    """

    final: float = 0.1
    warmup: float = 0.05

    def __post_init__(self) -> None:
        checks.store(self, final=checks.rate("final", self.final), warmup=checks.rate("warmup", self.warmup))

    def factor(self, update: int, updates_per_epoch: int, updates: int) -> float:
        """Return the factor for an update.

        Args:
            update: Index of the update, from 0.
            updates_per_epoch: Number of updates per epoch.
            updates: Number of updates of the run.
        """
        warm = self.warmup * updates
        if update < warm:
            return (update + 1) / (warm + 1)
        progress = (update - warm) / max(updates - 1 - warm, 1)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def __str__(self) -> str:
        return f"cosine decay to {self.final:g} of the base rate, warm-up over {self.warmup:.0%} of the updates"


@dataclass(frozen=True)
class GeometricDecay:
    """Factor of 1 for the first `after` epochs, then multiplied by `ratio` in each epoch (Zaremba et al. 2014).

    Args:
        ratio: Factor per epoch, a positive number.
        after: Number of epochs at the base learning rate.

    >>> from deeprnn_keras.training import GeometricDecay
    >>> decay = GeometricDecay(0.5, after=4)
    >>> [decay.factor(10 * epoch, updates_per_epoch=10, updates=60) for epoch in range(6)]
    [1.0, 1.0, 1.0, 1.0, 0.5, 0.25]
    """

    ratio: float
    after: int

    def __post_init__(self) -> None:
        checks.store(self, ratio=checks.positive("ratio", self.ratio), after=checks.positive_int("after", self.after))

    def factor(self, update: int, updates_per_epoch: int, updates: int) -> float:
        """Return the factor for an update.

        Args:
            update: Index of the update, from 0.
            updates_per_epoch: Number of updates per epoch.
            updates: Number of updates of the run.
        """
        return self.ratio ** max(update // updates_per_epoch + 1 - self.after, 0)

    def __str__(self) -> str:
        return f"x {self.ratio:.4g} per epoch after epoch {self.after}"


@dataclass(frozen=True)
class StepDecay:
    """Factor that is multiplied by `ratio` after each of the given epochs (Merity et al. 2018: 0.1 after 300 and 400).

    Args:
        ratio: Factor at each of `epochs`, a positive number.
        epochs: Increasing numbers of epochs, each at least 1.

    >>> from deeprnn_keras.training import StepDecay
    >>> decay = StepDecay(0.1, epochs=(2, 3))
    >>> [round(decay.factor(10 * epoch, updates_per_epoch=10, updates=50), 9) for epoch in range(5)]
    [1.0, 1.0, 0.1, 0.01, 0.01]
    """

    ratio: float
    epochs: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.epochs, Iterable):
            raise ValueError(f"epochs must be a list of increasing positive integers, got {self.epochs!r}")
        epochs = tuple(checks.positive_int("epochs", epoch) for epoch in self.epochs)
        if not epochs or list(epochs) != sorted(set(epochs)):
            raise ValueError(f"epochs must be increasing positive integers, at least one, got {self.epochs!r}")
        checks.store(self, ratio=checks.positive("ratio", self.ratio), epochs=epochs)

    def factor(self, update: int, updates_per_epoch: int, updates: int) -> float:
        """Return the factor for an update.

        Args:
            update: Index of the update, from 0.
            updates_per_epoch: Number of updates per epoch.
            updates: Number of updates of the run.
        """
        return self.ratio ** sum(update >= epoch * updates_per_epoch for epoch in self.epochs)

    def __str__(self) -> str:
        return f"x {self.ratio:.4g} after epochs {', '.join(map(str, self.epochs))}"


@dataclass(frozen=True)
class PlateauDecay:
    """Factor that is multiplied by `ratio` after `patience` epochs in a row without a new best validation loss.

    Source: Melis et al. 2018.

    Args:
        ratio: Factor per plateau, in (0, 1).
        patience: Number of epochs without a new best validation loss.
        min_factor: Lower bound of the factor, in [0, 1).

    >>> from deeprnn_keras.training import PlateauDecay
    >>> PlateauDecay(0.1, patience=2).factor_after(drops=1)
    0.1
    """

    ratio: float
    patience: int = 1
    min_factor: float = 0.0

    def __post_init__(self) -> None:
        checks.store(
            self,
            ratio=checks.fraction("ratio", self.ratio),
            patience=checks.positive_int("patience", self.patience),
            min_factor=checks.rate("min_factor", self.min_factor),
        )

    def factor_after(self, drops: int) -> float:
        """Return the factor after `drops` plateaus."""
        return max(self.ratio**drops, self.min_factor)

    def __str__(self) -> str:
        epochs = "1 epoch" if self.patience == 1 else f"{self.patience} epochs"
        return f"x {self.ratio:.4g} after {epochs} without a new best validation loss"


def check_schedule(name: str, value: object) -> None:
    """Raise a ValueError if `value` is neither None, a `PlateauDecay`, nor a schedule with a method `factor`."""
    is_schedule = isinstance(value, PlateauDecay) or callable(getattr(value, "factor", None))
    if value is not None and (isinstance(value, type) or not is_schedule):
        raise ValueError(
            f"{name} must be a CosineDecay, GeometricDecay, StepDecay, or PlateauDecay, another object with a method "
            f"factor, or None, got {value!r}"
        )
