"""Limits on the size and speed of the models of a search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deeprnn_keras import checks

TOLERANCE = 0.03  # maximum relative deviation from `params`
MAX_UNITS = 1 << 16


@dataclass(frozen=True)
class Budget:
    """Limits on the models of a search. Parameters are counted from configurations, without building models.

    Attributes:
        params: Number of parameters of every model, within 3%. For each L and cell, h is chosen to match it, so that
            depths are compared at equal size (Melis et al. 2018).
        max_params: Maximum number of parameters of a model.
        max_step_ms: Maximum duration of a training step on this machine, in milliseconds.

    Raises:
        ValueError: If a limit is not positive, or if both `params` and `max_params` are set.
    """

    params: int | None = None
    max_params: int | None = None
    max_step_ms: float | None = None

    def __post_init__(self) -> None:
        for name in ("params", "max_params"):
            if getattr(self, name) is not None:
                checks.positive_int(name, getattr(self, name))
        if self.params and self.max_params:
            raise ValueError(
                f"params fixes the size and max_params limits it; pass one of them, got params={self.params:,} and "
                f"max_params={self.max_params:,}"
            )
        if self.max_step_ms is not None:
            checks.positive("max_step_ms", self.max_step_ms)

    def limits_size(self) -> bool:
        """Return whether the number of parameters is limited."""
        return self.params is not None or self.max_params is not None

    def allows_size(self, num_params: int) -> bool:
        """Return whether a model with this number of parameters is within the budget."""
        if self.params is not None:
            return abs(num_params - self.params) <= TOLERANCE * self.params
        return self.max_params is None or num_params <= self.max_params

    def describe(self) -> dict[str, float]:
        """Return the limits that are set, by name."""
        names = ("params", "max_params", "max_step_ms")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def solve_units(count_params: Callable[[int], int], target: int, low: int = 1, high: int = MAX_UNITS) -> int:
    """Return the h in [low, high] whose number of parameters is closest to `target`.

    Args:
        count_params: Function from h to the number of parameters; must increase with h.
        target: Desired number of parameters.
        low: Smallest h.
        high: Largest h.

    >>> from deeprnn_keras import count_params
    >>> from deeprnn_keras.tuning.budget import solve_units
    >>> h = solve_units(lambda h: count_params(64, h, num_layers=3), 200_000)
    >>> h, count_params(64, h, num_layers=3)
    (94, 201912)
    """
    below, above = low, low
    while above < high and count_params(above) < target:
        below, above = above, min(2 * above, high)
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if count_params(middle) < target else (below, middle)
    return min((below, above), key=lambda h: abs(count_params(h) - target))
