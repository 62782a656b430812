"""What the rounds say: medians, spreads, ratios, geometric means."""

import math
import statistics


def milliseconds(figures):
    """The median over the rounds, or None where there is none.

    >>> from deeprnn_keras.bench.summary import milliseconds
    >>> milliseconds({"rounds_ms": [12.0, 10.0, 40.0]})
    12.0
    """
    rounds = (figures or {}).get("rounds_ms")
    return statistics.median(rounds) if rounds else None


def spread(figures):
    """(least, greatest) of the rounds, or None."""
    return None if milliseconds(figures) is None else (min(figures["rounds_ms"]), max(figures["rounds_ms"]))


def ratio(found, name, other):
    """Time of `name` over that of `other` in one case, or None if one of them is missing."""
    mine, its = milliseconds(found.get(name)), milliseconds(found.get(other))
    return None if mine is None or its is None else mine / its


def geometric_mean(values):
    """(v_1 ... v_k)^(1/k), or None of no values.

    >>> from deeprnn_keras.bench.summary import geometric_mean
    >>> geometric_mean([1, 4])
    2.0
    """
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None
