"""Argument checks. Their error messages state the argument, the value received, and what is supported."""

from __future__ import annotations

import difflib
import math
import operator
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, SupportsFloat, SupportsIndex, cast

import numpy as np

from deeprnn_keras._types import PathLike, Value

MAX_INT = 2**63 - 1  # the largest size that TensorFlow and NumPy represent
MAX_SEED = 2**62  # leaves room for the seeds that are derived by addition


def to_python(value: Value) -> Value:
    """Return `value` with Python's scalars in place of NumPy's, also inside lists, tuples, and dictionaries.

    >>> import numpy as np
    >>> from deeprnn_keras import checks
    >>> checks.to_python({"units": [np.int64(3), np.array(4)], "dropout": np.float64(0.5)})
    {'units': [3, 4], 'dropout': 0.5}
    """
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    if type(value) is list:
        return [to_python(entry) for entry in value]
    if type(value) is tuple:
        return tuple(to_python(entry) for entry in value)
    if type(value) is dict:
        return {to_python(key): to_python(entry) for key, entry in value.items()}
    return value


def store(instance: object, **values: object) -> None:
    """Set attributes of a frozen dataclass, for its `__post_init__`."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def flag(name: str, value: object) -> bool:
    """Return `value`, a bool or a NumPy bool, as a bool.

    Raises:
        ValueError: If `value` is anything else: 0, 1, "False", and [] are not flags.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def flags(**values: object) -> tuple[bool, ...]:
    """Return several flags, passed by name, as bools; see `flag`."""
    return tuple(flag(name, value) for name, value in values.items())


LOCK_FILES = {".lock", ".lock-holder.json"}  # files by which `locking.DirectoryLock` locks a directory


def positive_int(name: str, value: object) -> int:
    """Return `value` as an int of at least 1."""
    return _bounded_int(name, value, 1, "a positive integer")


def non_negative_int(name: str, value: object) -> int:
    """Return `value` as an int of at least 0."""
    return _bounded_int(name, value, 0, "a non-negative integer")


def _bounded_int(name: str, value: object, low: int, supported: str) -> int:
    number = _int(value)
    if number is None or number < low:
        raise ValueError(f"{name} must be {supported}, got {value!r}")
    if number > MAX_INT:
        raise ValueError(f"{name} must be {supported} below 2**63, got {value!r}")
    return number


def positive_int_or_none(name: str, value: object) -> int | None:
    """Return `value` as an int of at least 1, or None."""
    return None if value is None else positive_int(name, value)


def integer(name: str, value: object) -> int:
    """Return `value` as an int."""
    number = _int(value)
    if number is None or abs(number) > MAX_INT:
        raise ValueError(f"{name} must be an integer between -2**63 and 2**63, got {value!r}")
    return number


def seed(name: str, value: object) -> int | None:
    """Return `value` as an int, or None."""
    number = _int(value)
    if number is None and value is not None:
        raise ValueError(f"{name} must be an integer or None, got {value!r}")
    if number is not None and abs(number) >= MAX_SEED:
        raise ValueError(f"{name} must be an integer between -2**62 and 2**62 or None, got {value!r}")
    return number


def generator_seed(name: str, value: object) -> int | None:
    """Return the seed of a NumPy generator, an int of at least 0, or None."""
    number = seed(name, value)
    if number is not None and number < 0:
        raise ValueError(f"{name} must be a non-negative integer or None, got {value!r}")
    return number


def _int(value: object) -> int | None:
    try:
        return None if isinstance(value, bool) else operator.index(cast(SupportsIndex, value))
    except TypeError:
        return None


def is_number(value: object) -> bool:
    """Return True for a real number, also of NumPy or in an array of rank 0; False for flags and texts."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.ndim == 0 and value.dtype.kind in "iuf"
    return hasattr(value, "__float__") and not isinstance(value, bool)


def number(
    name: str, value: object, low: float = -math.inf, high: float = math.inf, supported: str = "a finite number"
) -> float:
    """Return `value` as a finite float.

    Args:
        name: Name of the argument.
        value: Value received.
        low: Exclusive lower bound.
        high: Exclusive upper bound.
        supported: Description of the supported values, for the error message.

    Raises:
        ValueError: If `value` is not a finite number with low < value < high.
    """
    try:
        result = float(cast(SupportsFloat, value)) if is_number(value) else math.nan
    except (OverflowError, TypeError, ValueError):
        result = math.nan
    if not low < result < high or math.isinf(result):
        raise ValueError(f"{name} must be {supported}, got {value!r}")
    return result


def positive(name: str, value: object) -> float:
    """Return `value` as a positive float."""
    return number(name, value, low=0.0, supported="a positive number")


def positive_or_none(name: str, value: object) -> float | None:
    """Return `value` as a positive float, or None."""
    return None if value is None else number(name, value, low=0.0, supported="a positive number or None")


def non_negative(name: str, value: object) -> float:
    """Return `value` as a float of at least 0."""
    return number(name, value, low=_BELOW_ZERO, supported="a non-negative number")


def rate(name: str, value: object) -> float:
    """Return `value` as a float in [0, 1), for example a dropout rate."""
    return number(name, value, low=_BELOW_ZERO, high=1.0, supported="a number in [0, 1)")


def fraction(name: str, value: object) -> float:
    """Return `value` as a float in (0, 1)."""
    return number(name, value, low=0.0, high=1.0, supported="a number in (0, 1)")


_BELOW_ZERO = math.nextafter(0.0, -1.0)  # an exclusive lower bound that admits 0


def one_of(name: str, value: object, choices: Collection[str]) -> str:
    """Return `value` if it is one of `choices`; otherwise raise a ValueError that suggests the closest ones."""
    if isinstance(value, str) and value in choices:
        return value
    raise ValueError(f"unknown {name} {value!r}{suggestion(value, choices)}")


def suggestion(value: object, choices: Iterable[str]) -> str:
    """Return the end of an error message: the choices similar to `value`, or else all of them."""
    choices = sorted(choices)
    name = str(value).lower()
    near = [name] if name in choices else difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    if near:
        return f"; did you mean {' or '.join(map(repr, near))}?"
    return f"; choose from {', '.join(map(repr, choices))}"


def reject_former_names(caller: str, arguments: Iterable[str], renamed: Mapping[str, str]) -> None:
    """Raise a TypeError if an argument was passed by its former name.

    Args:
        caller: Name of the class or function.
        arguments: Names of the unknown arguments that it received.
        renamed: {old name: new name}.
    """
    for old in renamed.keys() & set(arguments):
        raise TypeError(f"{caller} got an unexpected keyword argument {old!r}; it is now {renamed[old]!r}")


def per_layer(name: str, value: object, num_layers: int) -> list[Any]:
    """Return `value` as a list with one entry per layer; a single value applies to all layers."""
    if not isinstance(value, (list, tuple)):
        return [value] * num_layers
    if len(value) != num_layers:
        raise ValueError(
            f"{name} must be one value or a list with one entry per layer ({num_layers}), "
            f"got a list of {len(value)}: {list(value)!r}"
        )
    return list(value)


def new_directory(name: str, path: PathLike) -> Path:
    """Return `path` if it is an empty, writable directory, or if such a directory can be created there.

    Raises:
        ValueError: If `path` is a file, is below a file, is a directory that is not empty, or is not writable.
    """
    path = Path(path).expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError(f"{name} {str(path)!r} is a file; pass a directory that does not exist yet")
    if path.is_dir() and {file.name for file in path.iterdir()} - LOCK_FILES:
        raise ValueError(
            f"{name} {str(path)!r} exists and is not empty; "
            "pass a directory that does not exist yet, so that no file is overwritten"
        )
    parent = next(directory for directory in [path, *path.absolute().parents] if directory.exists())
    if not parent.is_dir():
        raise ValueError(
            f"{name} {str(path)!r} could not be created: {str(parent)!r} is a file; pass a path below a directory"
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ValueError(f"{name} {str(path)!r} is not writable: no write permission in {str(parent)!r}")
    return path
