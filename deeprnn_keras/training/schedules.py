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

    >>> from deeprnn_keras import CosineDecay
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

    >>> from deeprnn_keras import GeometricDecay
    >>> decay = GeometricDecay(0.5, after=4)
    >>> [decay.factor(10 * epoch, updates_per_epoch=10, updates=60) for epoch in range(6)]
    [1.0, 1.0, 1.0, 1.0, 0.5, 0.25]
    """

    ratio: float
    after: int

    def __post_init__(self):
        checks.number("ratio", self.ratio, 0.0, right="a positive number")
        checks.positive_int("after", self.after)

    def factor(self, update, updates_per_epoch, updates):
        """The multiplier for update number `update` (from 0)."""
        return self.ratio ** max(update // updates_per_epoch + 1 - self.after, 0)

    def __str__(self):
        return f"x {self.ratio:.4g} per epoch after epoch {self.after}"
