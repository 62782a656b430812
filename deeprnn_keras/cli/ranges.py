"""Ranges and amounts as they are written on a command line."""

import click


class RangeOption(click.ParamType):
    """'1:4' -> (1, 4); '0.25,1,5' -> [0.25, 1.0, 5.0]; '256' -> 256; 'own' -> None: what the model has.

    Args:
        number: int, float or str, of one value.
    """

    name = "range"

    def __init__(self, number):
        self.number = number

    def convert(self, value, param, ctx):
        """A value, a list, a pair, or OWN."""
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
            self.fail(f"{value!r} is neither a value, nor LOW:HIGH, nor values joined by commas", param, ctx)
        return values[0] if len(values) == 1 else values


class OWN:
    """Left to the model."""


class Amount(click.ParamType):
    """'500k' -> 500000; '1.5M' -> 1500000; '200_000' -> 200000."""

    name = "amount"

    def convert(self, value, param, ctx):
        """A whole number."""
        if isinstance(value, int):
            return value
        factor = {"k": 1e3, "m": 1e6}.get(value[-1:].lower(), 1)
        try:
            return round(float(value[:-1] if factor > 1 else value) * factor)
        except ValueError:
            self.fail(f"{value!r} is no number of weights, such as 500k, 1.5M or 200000", param, ctx)


def text_of(value):
    """A range as it is written, for messages."""
    if value is OWN:
        return "own"
    if isinstance(value, (tuple, list)):
        return (":" if isinstance(value, tuple) else ",").join(map(str, value))
    return str(value)
