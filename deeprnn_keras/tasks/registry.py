"""Registry of the task families of this package and, through entry points, of other packages."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from deeprnn_keras.registry import Registry
from deeprnn_keras.tasks.family import Family

GROUP = "deeprnn_keras.families"
FamilyT = TypeVar("FamilyT", bound="Family | type[Family]")

_FAMILIES: Registry[Family] = Registry("task")
_discovered = False


def register(family: FamilyT) -> FamilyT:
    """Add a task family to the registry.

    Use it as a class decorator, or pass an object. Families of an installed package are found by their entry points
    and need not be registered.

    Args:
        family: A `Family` or a subclass of it, which is instantiated.

    Returns:
        The argument.

    Raises:
        ValueError: If a family of the same name is registered.
        TypeError: If `family` is neither a `Family` nor a subclass.

    >>> from deeprnn_keras import tasks
    >>> @tasks.register
    ... class Counting(tasks.Family):
    ...     name = "counting"
    >>> "counting" in tasks.families()
    True
    """
    instance = family() if isinstance(family, type) else family
    if not isinstance(instance, Family):
        raise TypeError(f"family must be a Family or a subclass of it, got {type(instance).__name__}")
    _FAMILIES.add(instance.name, instance)
    return family


def families() -> Registry[Family]:
    """Return the registry of all task families.

    The first call imports the families of other packages, which are the entry points of the group
    "deeprnn_keras.families". A family whose import fails is skipped with a warning.

    >>> from deeprnn_keras import tasks
    >>> tasks.families().names("m*")
    ['music']
    """
    global _discovered
    if not _discovered:
        _discovered = True
        package = importlib.import_module("deeprnn_keras.tasks")
        for module in pkgutil.iter_modules(package.__path__):  # the families of this package register themselves
            importlib.import_module(f"{package.__name__}.{module.name}")
        for entry in entry_points(group=GROUP):
            _load(entry)
    return _FAMILIES


def _load(entry: EntryPoint) -> None:
    try:
        register(entry.load())
    except Exception as error:  # an error in another package must not affect the remaining families
        message = f"task family {entry.name!r} (entry point {entry.value!r}) could not be loaded"
        warnings.warn(f"{message}: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=3)
