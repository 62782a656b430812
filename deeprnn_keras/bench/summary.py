"""Statistics of measurements: medians, ranges, ratios, and geometric means."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping

from deeprnn_keras.bench.results import Figures


def median_ms(figures: Figures | None) -> float | None:
    """Return the median over the rounds in milliseconds, or None without a measurement.

    >>> from deeprnn_keras.bench.summary import median_ms
    >>> median_ms({"rounds_ms": [12.0, 10.0, 40.0]})
    12.0
    """
    rounds = (figures or {}).get("rounds_ms")
    return statistics.median(rounds) if rounds else None


def round_range(figures: Figures | None) -> tuple[float, float] | None:
    """Return the (minimum, maximum) of the rounds in milliseconds, or None without a measurement."""
    rounds = (figures or {}).get("rounds_ms")
    return (min(rounds), max(rounds)) if rounds else None


def ratio(figures: Mapping[str, Figures], name: str, baseline: str) -> float | None:
    """Return the time of `name` divided by that of `baseline` in one case, or None if one is missing."""
    time, baseline_time = median_ms(figures.get(name)), median_ms(figures.get(baseline))
    return None if time is None or baseline_time is None else time / baseline_time


def geometric_mean(values: Iterable[float]) -> float:
    """Return (v_1 ⋯ v_k)^(1/k) of at least one positive value.

    >>> from deeprnn_keras.bench.summary import geometric_mean
    >>> geometric_mean([1, 4])
    2.0
    """
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values))
