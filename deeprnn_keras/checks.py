"""Checks of arguments: each failure names the argument, what came and what would be right."""

import difflib
import math
import operator
import os
import zipfile
from pathlib import Path


def positive_int(name, value):
    """`value` as an int of at least 1."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return number


def seed(name, value):
    """`value` as an int, or None."""
    try:
        return None if value is None else operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number or None, got {value!r}") from None


def number(name, value, low=-math.inf, high=math.inf, right=""):
    """`value` as a finite float with low < value < high; `right` says in words what would do."""
    try:
        result = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        result = math.nan
    if not low < result < high or math.isinf(result):
        raise ValueError(f"{name} must be {right or f'a number between {low} and {high}'}, got {value!r}")
    return result


def rate(name, value):
    """`value` as a dropout rate in [0, 1)."""
    return number(name, value, math.nextafter(0.0, -1.0), 1.0, "a rate of at least 0 and below 1")


def one_of(name, value, choices):
    """`value` if it is among `choices`, else an error that suggests the nearest."""
    if isinstance(value, str) and value in choices:
        return value
    raise ValueError(f"unknown {name} {value!r}{nearest(value, choices)}")


def nearest(value, choices):
    """The end of an error message: the choices that look like `value`, or all of a short list."""
    choices = sorted(choices)
    near = difflib.get_close_matches(str(value).lower(), choices, n=3, cutoff=0.5)
    if near:
        return f"; did you mean {' or '.join(map(repr, near))}?"
    return f"; choose from {', '.join(map(repr, choices))}"


def no_old_names(caller, arguments, renamed):
    """Raise a TypeError for an argument that has another name now.

    Args:
        caller: Name of the class or function.
        arguments: Names of the unknown arguments that it was given.
        renamed: {old name: new name}.
    """
    for old in renamed.keys() & set(arguments):
        raise TypeError(f"{caller} got an unexpected keyword argument {old!r}; it is now {renamed[old]!r}")


def per_layer(name, value, num_layers):
    """One value for every layer, or a list with one per layer, as a list of `num_layers`."""
    if not isinstance(value, (list, tuple)):
        return [value] * num_layers
    if len(value) != num_layers:
        raise ValueError(
            f"{name} must be one value or a list with one entry per layer ({num_layers}), "
            f"got a list of {len(value)}: {list(value)!r}"
        )
    return list(value)


def new_folder(name, path):
    """A folder that can be created or is empty, and can be written to, as a Path."""
    path = Path(path).expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError(f"{name} {str(path)!r} is a file; give a folder that does not exist yet")
    if path.is_dir() and any(path.iterdir()):
        raise ValueError(
            f"{name} {str(path)!r} exists and is not empty; "
            "give a folder that does not exist yet, so that nothing in it is overwritten"
        )
    parent = next(folder for folder in [path, *path.absolute().parents] if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise ValueError(f"{name} {str(path)!r} cannot be written: no permission to write in {str(parent)!r}")
    return path


def model_file(name, path):
    """Return the `.keras` file at `path`, or `model.keras` in the folder of a training, as a Path.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not a `.keras` file.
    """
    path = Path(path).expanduser()
    path = path / "model.keras" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{name} {str(path)!r} does not exist; give a .keras file or the folder of a training")
    if not zipfile.is_zipfile(path) or "config.json" not in zipfile.ZipFile(path).namelist():
        raise ValueError(f"{name} {str(path)!r} is not a .keras file, or a damaged one")
    return path
