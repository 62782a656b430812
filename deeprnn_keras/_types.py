"""Type aliases for arguments and results of functions in this package."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of the Keras backend, a `KerasTensor`, or an array. Keras has no common type for them."""

ArrayLike: TypeAlias = Any
"""An array, or a value that `numpy.asarray` converts to one."""

Nested: TypeAlias = Any
"""A tensor, mask, or shape, or a nested list or tuple of them, as in `keras.tree`."""

Value: TypeAlias = Any
"""The value of an argument of any type."""

Layer: TypeAlias = Any
"""A `keras.layers.Layer` whose class is not known, such as a user-defined layer."""

Cell: TypeAlias = Any
"""A Keras RNN cell: an object with `call`, `state_size`, and `output_size`."""

CellSpec: TypeAlias = str | Mapping[str, Any] | Callable[[int], Cell]
"""One entry of `cell=`: a name, {"name": name, **options}, or a callable(units) that returns a cell."""

Activation: TypeAlias = str | Callable[[Tensor], Tensor] | None
"""A Keras activation: a name, a function, or None."""

Initializer: TypeAlias = str | Mapping[str, Any] | Callable[..., Tensor] | None
"""A Keras initializer: a name, a configuration, an object, or None."""

Regularizer: TypeAlias = str | Mapping[str, Any] | Callable[[Tensor], Tensor] | None
"""A Keras regularizer: a name, a configuration, an object, or None."""

Constraint: TypeAlias = str | Mapping[str, Any] | Callable[[Tensor], Tensor] | None
"""A Keras constraint: a name, a configuration, an object, or None."""

Config: TypeAlias = dict[str, Any]
"""A Keras configuration, the result of `get_config()`, or another dictionary of JSON values."""

Logs: TypeAlias = "dict[str, Any] | None"
"""Argument `logs` of the methods of a Keras callback."""

PathLike: TypeAlias = "str | os.PathLike[str]"
"""The path of a file or directory."""

Shape: TypeAlias = "tuple[int | None, ...]"
"""A shape, with None for each unknown size."""

TaskData: TypeAlias = Any
"""The data of a task family, as returned by `Family.load_data`: a `Split`, or another type that the family defines."""

DataPart: TypeAlias = Any
"""One part of a `TaskData`, for example `data.train`."""
