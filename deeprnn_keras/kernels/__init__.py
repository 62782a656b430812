"""Implementations of recurrent layers, one folder each, behind the contract in `contract.py`."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from deeprnn_keras.kernels.contract import Implementation


@functools.cache
def implementations() -> dict[str, Implementation]:
    """Return the implementations by name, the most preferred first: the `IMPLEMENTATION` of every folder here."""
    folders = [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]
    found = [importlib.import_module(f"{__name__}.{folder}").IMPLEMENTATION for folder in folders]
    return {one.name: one for one in sorted(found, key=lambda one: -one.preference)}
