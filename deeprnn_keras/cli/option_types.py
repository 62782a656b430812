"""Option types of the command line: ranges of hyperparameters, and numbers of parameters."""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

import click
from typing_extensions import override


class Own(Enum):
    """Type of `OWN`."""

    OWN = "own"


OWN: Final = Own.OWN
"""Value of a range option: the hyperparameter is not tuned and keeps the model's value."""

Number: TypeAlias = "int | float | str"
RangeValue: TypeAlias = "Number | list[Number] | tuple[Number, Number] | Own | None"
VALUES = {int: ("an integer", "integers"), float: ("a number", "numbers"), str: ("a name", "names")}
# flags that differ from the names of their values
FLAGS = {"num_layers": "--layers", "global_clipnorm": "--clipnorm"}
FLAGS |= {"cells": "--cell", "modes": "--mode", "implementations": "--impl"}


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
        if value == OWN.value:
            return OWN
        try:
            if ":" in value and self.number is not str:
                low, high = map(self.number, value.split(":"))
                if float(low) > float(high):
                    self.fail(f"must be LOW:HIGH with LOW <= HIGH, got {value!r}", param, ctx)
                return low, high
            values = [self.number(part.strip()) for part in value.split(",")]
        except ValueError:
            one, several = VALUES[self.number]
            self.fail(f"must be {one}, LOW:HIGH, comma-separated {several}, or own, got {value!r}", param, ctx)
        return values[0] if len(values) == 1 else values


class ParameterCount(click.ParamType):
    """Number of parameters: '500k' -> 500000; '1.5M' -> 1500000; '200_000' -> 200000."""

    name = "count"

    @override
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number as an integer."""
        if isinstance(value, int):
            return value
        text = str(value)
        factor = {"k": 1e3, "m": 1e6}.get(text[-1:].lower(), 1)
        try:
            return round(float(text[:-1] if factor > 1 else text) * factor)
        except (ValueError, OverflowError):  # OverflowError: infinity
            self.fail(f"must be a number of parameters, for example 500k, 1.5M, or 200000, got {value!r}", param, ctx)


def format_range(value: RangeValue) -> str:
    """Return a range in the notation of the command line."""
    if isinstance(value, Own):
        return value.value
    if isinstance(value, (tuple, list)):
        return (":" if isinstance(value, tuple) else ",").join(map(str, value))
    return str(value)


def format_start(name: str, value: object, text: str) -> str:
    """Return the end of the phrase "was started": "with name = text", or "without --name" if `value` is None."""
    if value is None:
        return f"without {FLAGS.get(name, '--' + name.replace('_', '-'))}"
    return f"with {name} = {text}"
