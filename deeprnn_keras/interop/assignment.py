"""`Assignment`: how one weight of a Keras model is computed from arrays of a source."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras import limits
from deeprnn_keras.interop.arrays import FLOATS, Arrays
from deeprnn_keras.interop.report import Entry, Report, Shape

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Target:
    """A weight of a Keras model, which exists or is planned.

    Attributes:
        path: Its path in the model.
        shape: Its shape.
        variable: The variable, or None if the model is not built.
    """

    path: str
    shape: Shape
    variable: keras.Variable | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Assignment:
    """Computation of one weight.

    Attributes:
        target: The weight.
        sources: Names of the arrays from which it is computed.
        shapes: Shape that each of them must have.
        change: The computation in words, as in `Entry`.
        compute: Function of the arrays, float32 each, that returns the weight.
    """

    target: Target
    sources: tuple[str, ...]
    shapes: tuple[Shape, ...]
    change: str
    compute: Callable[..., np.ndarray]


def make_report(
    source: str,
    kind: str,
    arrays: Arrays,
    assignments: Sequence[Assignment],
    *,
    layers: Sequence[str],
    missing: Sequence[str] = (),
    ignored: Collection[str] = (),
    notes: Sequence[str] = (),
) -> Report:
    """Return the report on assignments: entries, and everything that is missing, unused, or misshaped.

    Args:
        source: Path of the file, or description of the object.
        kind: Kind of source.
        arrays: The arrays of the source.
        assignments: The computation of each weight.
        layers: One line per layer.
        missing: Further missing entries.
        ignored: Arrays that are neither used nor reported as unused; a note says why.
        notes: Sentences for the report.
    """
    entries, absent, misshaped = [], dict.fromkeys(missing), {}
    for one in assignments:
        for name, shape in zip(one.sources, one.shapes, strict=True):
            info = arrays.find(name)
            if info is None:
                absent[name] = None
                continue
            entries.append(Entry(name, info.shape, info.dtype, one.target.path, one.target.shape, one.change))
            if info.shape != shape:
                misshaped[name] = f"{name} {info.shape} instead of {shape}"
            elif info.dtype not in FLOATS:
                misshaped[name] = f"{name} {info.dtype} instead of floating-point numbers"
    used = {arrays.aliases.get(entry.source, entry.source) for entry in entries}
    unused = tuple(name for name in arrays.infos if name not in used and name not in ignored)
    notes = (*notes, *_conversions(entries))
    return Report(source, kind, tuple(layers), tuple(entries), tuple(absent), unused, tuple(misshaped.values()), notes)


def _conversions(entries: Sequence[Entry]) -> list[str]:
    """Return one sentence for each data type that is converted."""
    found: dict[str, set[str]] = {}
    for entry in entries:
        found.setdefault(entry.dtype, set()).add(entry.source)
    return [
        f"{len(names)} {'entry' if len(names) == 1 else 'entries'} of {dtype} converted to float32."
        for dtype, names in found.items()
        if dtype in FLOATS and dtype != "float32"
    ]


def check_size(source: str, assignments: Sequence[Assignment]) -> None:
    """Raise a ValueError if the weights take more memory than the limit, before they are allocated."""
    limits.check_memory(f"{source}: the model", sum(prod(one.target.shape) for one in assignments))


def assign(arrays: Arrays, assignments: Sequence[Assignment]) -> None:
    """Set the variables of checked assignments."""
    for one in assignments:
        if one.target.variable is None:
            raise AssertionError(f"{one.target.path} is not built")
        value = one.compute(*(arrays.read(name) for name in one.sources))
        one.target.variable.assign(value)
