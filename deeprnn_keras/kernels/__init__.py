"""Implementations of recurrent layers, one directory each, behind the contract in `contract.py`."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from deeprnn_keras.kernels.contract import Implementation


@functools.cache
def implementations() -> dict[str, Implementation]:
    """Return the implementations by name, the most preferred first: the `IMPLEMENTATION` of every directory here."""
    directories = [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]
    found = [importlib.import_module(f"{__name__}.{directory}").IMPLEMENTATION for directory in directories]
    return {one.name: one for one in sorted(found, key=lambda one: -one.preference)}
