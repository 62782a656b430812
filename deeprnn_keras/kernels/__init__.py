"""Implementations of recurrent layers, one subpackage each, behind the interface in `contract.py`."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from deeprnn_keras.kernels.contract import Implementation


@functools.cache
def implementations() -> dict[str, Implementation]:
    """Return the implementations by name, most preferred first.

    Every subpackage of this package defines one as `IMPLEMENTATION`.
    """
    subpackages = [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]
    found: list[Implementation] = [importlib.import_module(f"{__name__}.{name}").IMPLEMENTATION for name in subpackages]
    return {implementation.name: implementation for implementation in sorted(found, key=lambda each: -each.preference)}
