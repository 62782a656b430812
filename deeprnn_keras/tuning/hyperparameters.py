"""Hyperparameters of a search: a fixed value, a choice of values, or a range."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from typing import Any, Protocol, TypeAlias

from deeprnn_keras import checks
from deeprnn_keras._types import CellSpec
from deeprnn_keras.forecasting.likelihoods import LIKELIHOODS
from deeprnn_keras.specs import parse_cell
from deeprnn_keras.stack import CONNECTIONS

SIGNIFICANT_DIGITS = 4  # sampled numbers are rounded, so that tables and files show them exactly


class HyperParameters(Protocol):
    """Interface of `keras_tuner.HyperParameters` used to declare a search space."""

    def Fixed(self, name: str, value: Any) -> Any:  # noqa: ANN401 - a value of any type
        """Declare a fixed value and return it."""
        ...

    def Choice(self, name: str, values: list[Any]) -> Any:  # noqa: ANN401 - any value
        """Declare a choice of values and return the sampled one."""
        ...

    def Int(self, name: str, min_value: int, max_value: int, *, sampling: str) -> int | None:
        """Declare a range of integers and return the sampled one."""
        ...

    def Float(self, name: str, min_value: float, max_value: float, *, sampling: str) -> float | None:
        """Declare a range of real numbers and return the sampled one."""
        ...

    def conditional_scope(self, parent_name: str, parent_values: list[Any]) -> AbstractContextManager[None]:
        """Return a context manager in which declarations are active only for these values of the parent."""
        ...


@dataclass(frozen=True)
class Fixed:
    """Fixed value."""

    value: Any

    def declare(self, hp: HyperParameters, name: str) -> Any:  # noqa: ANN401 - any value
        """Declare the value in `hp` and return it."""
        return hp.Fixed(name, self.value)

    def options(self) -> list[Any]:
        """Return all values, in order."""
        return [self.value]

    @property
    def low(self) -> float:
        """Smallest value."""
        return self.value

    @property
    def high(self) -> float:
        """Largest value."""
        return self.value

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class Choice:
    """Choice of values."""

    values: tuple[Any, ...]

    def declare(self, hp: HyperParameters, name: str) -> Any:  # noqa: ANN401 - any value
        """Declare the choice in `hp` and return the sampled value."""
        return hp.Choice(name, list(self.values))

    def options(self) -> list[Any]:
        """Return all values, in order."""
        return list(self.values)

    @property
    def low(self) -> float:
        """Smallest value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """Largest value."""
        return max(self.values)

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


@dataclass(frozen=True)
class Range:
    """All values in [low, high]; integers if `low` is an integer.

    Attributes:
        low: Smallest value.
        high: Largest value.
        log: True if values are sampled uniformly on a logarithmic scale.
    """

    low: float
    high: float
    log: bool = False

    def declare(self, hp: HyperParameters, name: str) -> float | None:
        """Declare the range in `hp` and return the sampled value."""
        sampling = "log" if self.log else "linear"
        if not isinstance(self.low, int):
            return hp.Float(name, self.low, self.high, sampling=sampling)
        value = hp.Int(name, self.low, int(self.high), sampling=sampling)
        return None if value is None else min(value, int(self.high))  # keras-tuner also returns high + 1

    def options(self) -> list[int]:
        """Return all integers of the range, in order."""
        return list(range(int(self.low), int(self.high) + 1))

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', log' if self.log else ''}"


HyperParameter: TypeAlias = Fixed | Choice | Range

HyperParameterSpec: TypeAlias = (
    "HyperParameter | float | str | Mapping[str, Any] | Sequence[float | str | Mapping[str, Any]] | None"
)
"""A value, a list of values, a tuple (low, high), or None to keep the value of the tuned model."""


@dataclass(frozen=True)
class HyperParameterType:
    """Type of the values of a hyperparameter.

    Attributes:
        supported: Description of the supported values, for error messages.
        check: Function (name, value) that returns the value in normalized form or raises a ValueError.
        log: True if a range is sampled on a logarithmic scale.
        numeric: True if a tuple (low, high) is a range.
    """

    supported: str
    check: Callable[[str, Any], Any]
    log: bool = False
    numeric: bool = True


def as_hyperparameter(name: str, spec: HyperParameterSpec, value_type: HyperParameterType) -> HyperParameter:
    """Return the `Fixed`, `Choice`, or `Range` that a user's specification describes.

    Args:
        name: Name of the argument.
        spec: A value, a list of values, or, for numbers, a tuple (low, high).
        value_type: Type of the values.

    Raises:
        ValueError: If there are no values, a value is not supported, or low is greater than high.

    >>> from deeprnn_keras.tuning.hyperparameters import TYPES, as_hyperparameter
    >>> as_hyperparameter("units", (32, 512), TYPES["units"])
    Range(low=32, high=512, log=True)
    >>> as_hyperparameter("cell", ["lstm", "gru"], TYPES["cell"]).options()
    ['lstm', 'gru']
    """
    if isinstance(spec, (Fixed, Choice, Range)):
        return spec
    if isinstance(spec, tuple) and value_type.numeric:
        if len(spec) != 2:
            raise ValueError(f"{name} must be a value, a list of values, or (low, high), got {spec!r}")
        low, high = (value_type.check(name, value) for value in spec)
        if low > high:
            raise ValueError(f"{name} must be (low, high) with low <= high, got {spec!r}")
        low, high = _rounded_bounds(low, high)
        return Fixed(low) if low == high else Range(low, high, value_type.log)
    if isinstance(spec, (list, tuple)):
        values = tuple(dict.fromkeys(value_type.check(name, value) for value in spec))
        if not values:
            raise ValueError(f"{name} must have at least one value ({value_type.supported}), got an empty list")
        return Fixed(values[0]) if len(values) == 1 else Choice(values)
    return Fixed(value_type.check(name, spec))


def round_value(value: Any) -> Any:  # noqa: ANN401 - the type of the argument
    """Return a float rounded to four significant digits, and any other value unchanged.

    >>> from deeprnn_keras.tuning.hyperparameters import round_value
    >>> round_value(0.0012345678), round_value(7)
    (0.001235, 7)
    """
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value


def _rounded_bounds(low: float, high: float) -> tuple[float, float]:
    """Round the bounds of a range inward, so that `round_value` of a value in the range is in the range."""
    if isinstance(low, int):
        return low, high
    bounds = [
        float(Context(SIGNIFICANT_DIGITS, rounding).create_decimal(repr(bound)))
        for bound, rounding in ((low, ROUND_CEILING), (high, ROUND_FLOOR))
    ]
    return (bounds[0], bounds[1]) if bounds[0] <= bounds[1] else (low, high)


# === Cells as text: keras-tuner supports only numbers, strings, and bools ===
def cell_to_text(cell: CellSpec) -> str:
    """Return a cell as one string: its name, followed by its options.

    >>> from deeprnn_keras.tuning.hyperparameters import cell_from_text, cell_to_text
    >>> cell_to_text({"name": "rhn", "depth": 5}), cell_from_text("rhn depth=5")
    ('rhn depth=5', {'name': 'rhn', 'depth': 5})
    """
    spec, options = parse_cell(cell)
    return " ".join([spec.name, *(f"{name}={value}" for name, value in options.items())])


def cell_from_text(text: str) -> str | dict[str, Any]:
    """Convert a result of `cell_to_text` to the argument `cell` of `DeepRNN`."""
    name, *options = text.split(" ")
    if not options:
        return name
    pairs = (option.partition("=") for option in options)
    return {"name": name, **{key: _parse_literal(value) for key, _, value in pairs}}


def _parse_literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


# === Types ===
def _check_cell(name: str, value: CellSpec) -> str:
    return cell_to_text(cell_from_text(value) if isinstance(value, str) else value)


def _check_connection(name: str, value: object) -> str:
    return checks.one_of(name, value, CONNECTIONS)


def _check_number(name: str, value: object) -> float:
    return checks.number(name, value)


def _check_likelihood(name: str, value: object) -> str:
    return checks.one_of(name, value, LIKELIHOODS)


_COUNT = HyperParameterType("a positive integer", checks.positive_int)
_LOG_COUNT = HyperParameterType("a positive integer", checks.positive_int, log=True)
_LOG_POSITIVE = HyperParameterType("a positive number", checks.positive, log=True)
_RATE = HyperParameterType("a number in [0, 1)", checks.rate)
TYPES = {
    "num_layers": _COUNT,
    "units": _LOG_COUNT,
    "cell": HyperParameterType("the name of a cell, or {'name': name, **options}", _check_cell, numeric=False),
    "connection": HyperParameterType("'stack', 'residual', or 'skip'", _check_connection, numeric=False),
    "input_dropout": _RATE,
    "dropout": _RATE,
    "output_dropout": _RATE,
    "learning_rate": _LOG_POSITIVE,
    "global_clipnorm": _LOG_POSITIVE,
    "forget_bias": HyperParameterType("a finite number", _check_number),
    "batch_size": _LOG_COUNT,
    "bptt": _LOG_COUNT,
    "context": _LOG_COUNT,
    "likelihood": HyperParameterType("the name of a likelihood", _check_likelihood, numeric=False),
}
