"""Option types of the command line: ranges of hyperparameters, and numbers of parameters."""

from __future__ import annotations

from typing import TypeAlias

import click
from typing_extensions import override


class OWN:
    """Marker for the range `own`: the hyperparameter is not tuned and keeps the model's value."""


Number: TypeAlias = "int | float | str"
RangeValue: TypeAlias = "Number | list[Number] | tuple[Number, Number] | type[OWN] | None"


class RangeOption(click.ParamType):
    """Range of a hyperparameter.

    '1:4' -> (1, 4); '0.25,1,5' -> [0.25, 1.0, 5.0]; '256' -> 256; 'own' -> OWN.

    Args:
        number: Type of the values: int, float, or str.
    """

    name = "range"

    def __init__(self, number: type[int] | type[float] | type[str]) -> None:
        self.number = number

    @override
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """Return one value, a list of values, a pair (low, high), or OWN."""
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
            self.fail(f"must be one value, LOW:HIGH, or comma-separated values, got {value!r}", param, ctx)
        return values[0] if len(values) == 1 else values


class Amount(click.ParamType):
    """Number of parameters: '500k' -> 500000; '1.5M' -> 1500000; '200_000' -> 200000."""

    name = "amount"

    @override
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number as an integer."""
        if isinstance(value, int):
            return value
        text = str(value)
        factor = {"k": 1e3, "m": 1e6}.get(text[-1:].lower(), 1)
        try:
            return round(float(text[:-1] if factor > 1 else text) * factor)
        except ValueError:
            self.fail(f"must be a number of parameters, for example 500k, 1.5M, or 200000, got {value!r}", param, ctx)


def format_range(value: RangeValue) -> str:
    """Return a range in the notation of the command line."""
    if value is OWN:
        return "own"
    if isinstance(value, (tuple, list)):
        return (":" if isinstance(value, tuple) else ",").join(map(str, value))
    return str(value)
