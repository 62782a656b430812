"""Known facts about the values of an ONNX graph before it runs, and the axes of those that a Keras layer returns.

A Keras layer returns (n, T, features) or (n, features). ONNX graphs permute, split, and insert axes around their
recurrent nodes; the axes of a value tell how it differs from that of the layer. An axis is "n" (batch), "T" (time),
"f" (features; one direction of them if there is an axis "D"), "D" (two directions), "1" (an axis of size 1), or "n*T"
and "T*n" (both in one axis).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

Axes: TypeAlias = tuple[str, ...]
Size: TypeAlias = int | str | None
"""A size: a number, the name of an axis, or None if it is not known."""

ROWS = {"n*T": ("n", "T"), "T*n": ("T", "n")}
"""{axis: the two axes in it}."""


@dataclass(frozen=True)
class Constant:
    """An array.

    Attributes:
        array: The array.
        sources: Names of the tensors of the file from which it is computed.
        dtype: Data type of the first of them in the file.
    """

    array: np.ndarray
    sources: tuple[str, ...] = ()
    dtype: str = "float32"


@dataclass(frozen=True)
class Filled:
    """An array of any shape whose elements are all `number`, as initial states are."""

    number: float


@dataclass(frozen=True)
class Sizes:
    """A vector of integers, or a single one, that is computed from the shapes of values."""

    elements: tuple[Size, ...]


@dataclass(frozen=True)
class Tensor:
    """The value of a step of the plan, with permuted axes.

    Attributes:
        step: Name of the step.
        axes: Axes of the value in the graph.
        width: Number of features of the step, those of both directions; None for ids, which have no axis "f".
    """

    step: str
    axes: Axes
    width: int | None = None

    def size(self, axis: str) -> Size:
        """Return the size of an axis."""
        if axis == "f" and self.width is not None:
            return self.width // 2 if "D" in self.axes else self.width
        return {"1": 1, "D": 2}.get(axis, axis)


@dataclass(frozen=True)
class Pieces:
    """Values of steps, concatenated along an axis of size 1, as the final states of a stack are.

    Attributes:
        parts: The values.
        axis: Position of the axis.
    """

    parts: tuple[Tensor, ...]
    axis: int


@dataclass(frozen=True)
class Unavailable:
    """A value that no Keras layer returns, such as the last cell state of an LSTM.

    Attributes:
        what: Description of the value.
    """

    what: str


Value: TypeAlias = Constant | Filled | Sizes | Tensor | Pieces | Unavailable


@dataclass(frozen=True)
class Target:
    """Shape that a Reshape gives to a value.

    Attributes:
        sizes: Sizes of the result; -1 for a size that follows from the others.
        fixed: {axis: size} of the axes that have a fixed size in the file.
    """

    sizes: tuple[Size, ...]
    fixed: Mapping[str, int] = field(default_factory=dict)

    def matches(self, index: int, size: Size) -> bool:
        """Return True if the size at `index` may be `size`."""
        target = self.sizes[index]
        if target in (-1, None) or target == size:
            return True
        return isinstance(size, str) and target == self.fixed.get(size)


def reshaped(value: Tensor, target: Target) -> Axes | None:
    """Return the axes of a value after a Reshape, or None if it mixes axes in another way than is supported.

    Supported are the insertion and removal of axes of size 1, the concatenation of the features of both directions, and
    time and batch in one axis.
    """
    return _match(value, value.axes, target, 0)


def _match(value: Tensor, axes: Axes, target: Target, index: int) -> Axes | None:
    """Return the axes that the remaining `axes` become from position `index` of the target on."""
    if index == len(target.sizes):
        return () if all(axis == "1" for axis in axes) else None
    for first, rest in _steps(value, axes, target, index):
        following = _match(value, rest, target, index + len(first))
        if following is not None:
            return first + following
    return _match(value, axes[1:], target, index) if axes[:1] == ("1",) else None


def _steps(value: Tensor, axes: Axes, target: Target, index: int) -> list[tuple[Axes, Axes]]:
    """Return (axes of the result from `index` on, axes that remain) for each way to make the next size."""
    options: list[tuple[Axes, Axes]] = []
    if axes and axes[0] not in ROWS and target.matches(index, value.size(axes[0])):
        options.append((axes[:1], axes[1:]))
    if axes[:2] == ("D", "f") and target.matches(index, value.width):
        options.append((("f",), axes[2:]))
    for rows, pair in ROWS.items():
        if axes[:2] == pair and target.sizes[index] in (-1, None):
            options.append(((rows,), axes[2:]))
        if axes[:1] == (rows,) and index + 1 < len(target.sizes) and _both(target, index, pair):
            options.append((pair, axes[1:]))
        if axes[:1] == (rows,) and target.sizes[index] in (-1, None):
            options.append(((rows,), axes[1:]))
    if target.sizes[index] == 1:
        options.append((("1",), axes))
    return options


def _both(target: Target, index: int, pair: tuple[str, ...]) -> bool:
    return all(target.matches(index + offset, axis) for offset, axis in enumerate(pair))


def to_keras_layout(array: np.ndarray, axes: Sequence[str]) -> np.ndarray:
    """Return a value of the graph with the axes of the Keras layer, (n, T, features) or (n, features)."""
    kept = [index for index, axis in enumerate(axes) if axis != "1"]
    array = array.reshape([array.shape[index] for index in kept])
    names = [axes[index] for index in kept]
    order = sorted(range(len(names)), key=lambda index: "nTDf".index(names[index]))
    array = array.transpose(order)
    return array.reshape(*array.shape[:-2], -1) if "D" in names else array


def from_keras_layout(array: np.ndarray, axes: Sequence[str]) -> np.ndarray:
    """Return an input of the Keras model with the axes of the graph."""
    kept = [axis for axis in axes if axis != "1"]
    canonical = sorted(kept, key="nTf".index)
    array = array.transpose([canonical.index(axis) for axis in kept])
    return np.expand_dims(array, [index for index, axis in enumerate(axes) if axis == "1"])
