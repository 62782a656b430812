"""Option types of the command line: ranges and amounts."""

from __future__ import annotations

from typing import Any

import click


class OWN:
    """Marker of a range that is left to the model."""


class RangeOption(click.ParamType):
    """Range of a hyper-parameter.

    '1:4' -> (1, 4); '0.25,1,5' -> [0.25, 1.0, 5.0]; '256' -> 256; 'own' -> OWN, the value of the model.

    Args:
        number: int, float, or str: the type of one value.
    """

    name = "range"

    def __init__(self, number: type) -> None:
        self.number = number

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a value, a list, a pair, or OWN."""
        if not isinstance(value, str):
            return value
        if value == "own":
            return OWN
        try:
            if ":" in value and self.number is not str:
                low, high = value.split(":")
                return self.number(low), self.number(high)
            values = [self.number(part.strip()) for part in value.split(",")]
        except ValueError:
            self.fail(f"must be a value, LOW:HIGH, or comma-separated values, got {value!r}", param, ctx)
        return values[0] if len(values) == 1 else values


class Amount(click.ParamType):
    """Number of weights: '500k' -> 500000; '1.5M' -> 1500000; '200_000' -> 200000."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return an integer."""
        if isinstance(value, int):
            return value
        factor = {"k": 1e3, "m": 1e6}.get(value[-1:].lower(), 1)
        try:
            return round(float(value[:-1] if factor > 1 else value) * factor)
        except ValueError:
            self.fail(f"must be a number of weights such as 500k, 1.5M, or 200000, got {value!r}", param, ctx)


def format_range(value: Any) -> str:
    """Return a range as it is written on the command line."""
    if value is OWN:
        return "own"
    if isinstance(value, (tuple, list)):
        return (":" if isinstance(value, tuple) else ",").join(map(str, value))
    return str(value)
