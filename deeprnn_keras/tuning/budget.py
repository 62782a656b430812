"""`Budget`: how large and how slow a model may be, and the h that fills it."""

from dataclasses import dataclass

from deeprnn_keras import checks

TOLERANCE = 0.03  # of the weights asked for
WIDEST = 1 << 16


@dataclass(frozen=True)
class Budget:
    """Limits of a search, worked out from configurations: nothing is built.

    Attributes:
        params: weights that every model is to have, within 3 %: h is solved from L, the cell and this number, so that
            depth is compared at equal size (Melis et al. 2018).
        max_params: weights that no model may exceed.
        max_step_ms: milliseconds that no training step may exceed, on this machine.

    Raises:
        ValueError: for numbers that are no budget, or `params` together with `max_params`.
    """

    params: int | None = None
    max_params: int | None = None
    max_step_ms: float | None = None

    def __post_init__(self):
        for name in ("params", "max_params"):
            if getattr(self, name) is not None:
                checks.positive_int(name, getattr(self, name))
        if self.params and self.max_params:
            raise ValueError(
                f"params = {self.params:,} fixes the size and max_params = {self.max_params:,} limits it; give one"
            )
        if self.max_step_ms is not None:
            checks.positive("max_step_ms", self.max_step_ms)

    def counts(self):
        """Whether weights are limited."""
        return self.params is not None or self.max_params is not None

    def allows(self, weights):
        """Whether a model of so many weights is within the budget."""
        if self.params is not None:
            return abs(weights - self.params) <= TOLERANCE * self.params
        return self.max_params is None or weights <= self.max_params

    def describe(self):
        """{limit: number} of those that are set."""
        names = ("params", "max_params", "max_step_ms")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def solve_units(count, target, low=1, high=WIDEST):
    """The h from `low` to `high` whose number of weights comes nearest to `target`.

    Args:
        count: h -> weights, growing with h.

    >>> from deeprnn_keras import count_params
    >>> from deeprnn_keras.tuning.budget import solve_units
    >>> h = solve_units(lambda h: count_params(64, h, num_layers=3), 200_000)
    >>> h, count_params(64, h, num_layers=3)
    (94, 201912)
    """
    below, above = low, low
    while above < high and count(above) < target:
        below, above = above, min(2 * above, high)
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if count(middle) < target else (below, middle)
    return min((below, above), key=lambda h: abs(count(h) - target))
