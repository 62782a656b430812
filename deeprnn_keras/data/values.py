"""Conversion of arrays from users to the dtypes of models: int32 for integers, float32 for all other numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deeprnn_keras._types import ArrayLike

Locate = Callable[[int], str]
"""Function from the number of a row to its description, for an error message."""


def numeric_array(name: str, value: ArrayLike) -> np.ndarray:
    """Return an array of real numbers or flags.

    Raises:
        ValueError: If it holds anything else, for example text, dates, or complex numbers; `name` is the argument.
    """
    try:
        array = np.asarray(value)
    except ValueError:  # rows of unequal length
        array = None
    if array is None or array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be an array of numbers, got {str(value)[:60]!r}")
    return array


def to_model_dtype(name: str, values: np.ndarray, locate: Locate) -> np.ndarray:
    """Return integers and flags as int32 and other numbers as float32.

    Raises:
        ValueError: If a number is NaN, infinite, or out of the range of the dtype; the message locates the first.
    """
    is_integer = values.dtype.kind in "iub"
    with np.errstate(over="ignore"):  # numbers that overflow float32 become infinite, which is rejected below
        converted = values.astype("int32" if is_integer else "float32", copy=True)
    if not is_integer:
        check_all(name, "finite numbers in the range of float32", ~np.isfinite(converted), values, locate)
    elif not np.can_cast(values.dtype, "int32"):
        check_all(name, "finite numbers in the range of int32", converted != values, values, locate)
    return converted


def token_ids(name: str, value: ArrayLike) -> np.ndarray:
    """Return ids of shape (tokens,) as int32.

    Raises:
        TypeError: If they are not integers: real numbers are not rounded to ids.
        ValueError: If they do not have this shape, or one is not in [0, 2**31).
    """
    array = np.asarray(value)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integer ids, got {array.dtype}; use series_windows for real-valued series")
    if array.ndim != 1:
        raise ValueError(f"{name} must be an array of ids of shape (tokens,), got shape {array.shape}")
    invalid = (array < 0) | (array >= 2**31)
    check_all(name, "ids in [0, 2**31)", invalid, array, lambda row: f"position {row}")
    return array.astype("int32")


def check_all(name: str, supported: str, invalid: np.ndarray, values: np.ndarray, locate: Locate) -> None:
    """Raise a ValueError that locates the first invalid value, if there is one.

    Args:
        name: Name of the argument.
        supported: Description of the supported values.
        invalid: True for each invalid value.
        values: The values.
        locate: Function from the number of a row to its description.
    """
    if not invalid.any():
        return
    rows, columns = np.nonzero(invalid.reshape(len(invalid), -1))
    first = values.reshape(len(values), -1)[rows[0], columns[0]]
    raise ValueError(f"{name} must be {supported}, but {len(rows)} are not: the first is {first} at {locate(rows[0])}")
