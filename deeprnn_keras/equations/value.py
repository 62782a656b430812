"""`Value`: base class of what equations may be evaluated on besides arrays; operators become primitives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from deeprnn_keras import checks


class Value(ABC):
    """A value of a step: supports arithmetic, `>`, `<`, slices of the features, and the functions of `primitives`."""

    @abstractmethod
    def apply(self, primitive: str, *others: object) -> Self:
        """Return an elementwise primitive of this value and other values or numbers."""

    @abstractmethod
    def lift(self, primitive: str, other: object) -> Self:
        """Return a number, or another value, as an operand of `primitive`."""

    @abstractmethod
    def mean(self) -> Self:
        """Return the mean over the features, of width 1."""

    @abstractmethod
    def concatenate(self, values: Sequence[Any]) -> Self:
        """Return the features of several values side by side."""

    @abstractmethod
    def __getitem__(self, key: object) -> Self:
        """Return features, `value[..., start:stop]`."""

    def __add__(self, other: object) -> Self:
        return self if _is_zero(other) else self.apply("add", other)

    def __radd__(self, other: object) -> Self:
        return self if _is_zero(other) else self.lift("add", other).apply("add", self)  # sum() starts at 0

    def __sub__(self, other: object) -> Self:
        return self.apply("subtract", other)

    def __rsub__(self, other: object) -> Self:
        return self.lift("subtract", other).apply("subtract", self)

    def __mul__(self, other: object) -> Self:
        return self.apply("multiply", other)

    def __rmul__(self, other: object) -> Self:
        return self.lift("multiply", other).apply("multiply", self)

    def __truediv__(self, other: object) -> Self:
        return self.apply("divide", other)

    def __rtruediv__(self, other: object) -> Self:
        return self.lift("divide", other).apply("divide", self)

    def __neg__(self) -> Self:
        return self.apply("negate")

    def __gt__(self, other: object) -> Self:
        return self.apply("greater", other)

    def __lt__(self, other: object) -> Self:
        return self.lift("greater", other).apply("greater", self)


def _is_zero(value: object) -> bool:
    return not isinstance(value, Value) and checks.is_number(value) and value == 0
