"""The task families: those of this package, and those of other packages, found through entry points."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from importlib.metadata import EntryPoint, entry_points

from deeprnn_keras.registry import Registry
from deeprnn_keras.tasks.family import Family

GROUP = "deeprnn_keras.families"
_FAMILIES = Registry("task")
_discovered = False


def register(family: Family | type[Family]) -> Family | type[Family]:
    """Add a task family, for example one defined in a notebook; usable as a class decorator.

    Raises:
        ValueError: If there is a family of that name.
        TypeError: If it is not a `Family`.

    >>> from deeprnn_keras import tasks
    >>> @tasks.register
    ... class Counting(tasks.Family):
    ...     name = "counting"
    >>> "counting" in tasks.families()
    True
    """
    made = family() if isinstance(family, type) else family
    if not isinstance(made, Family):
        raise TypeError(f"a task family must be a Family, got {type(made).__name__}")
    _FAMILIES.add(made.name, made)
    return family


def families() -> Registry:
    """Return all task families by name.

    The first call imports the families of other packages, entry points of the group "deeprnn_keras.families". One that
    cannot be loaded is left out with a warning.

    >>> from deeprnn_keras import tasks
    >>> tasks.families().names("m*")
    ['music']
    """
    global _discovered
    if not _discovered:
        _discovered = True
        package = importlib.import_module("deeprnn_keras.tasks")
        for module in pkgutil.iter_modules(package.__path__):  # those of this package register themselves
            importlib.import_module(f"{package.__name__}.{module.name}")
        for entry in entry_points(group=GROUP):
            _load(entry)
    return _FAMILIES


def _load(entry: EntryPoint) -> None:
    try:
        register(entry.load())
    except Exception as error:  # whatever a foreign package raises must not break the others
        message = f"task family {entry.name!r} (entry point {entry.value!r}) could not be loaded"
        warnings.warn(f"{message}: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=3)
