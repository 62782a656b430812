"""Start of the tutorials: scale, required packages, and help with cells that are run out of order."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from types import TracebackType
from typing import Protocol

from deeprnn_keras.extras import DISTRIBUTIONS

OUT_OF_ORDER = (
    "An earlier cell of this notebook defines the name; run the cells from the top, for example with "
    "Run > Run All Above Selected Cell."
)


class Shell(Protocol):
    """Method of IPython's shell that shows an error below the cell."""

    def showtraceback(
        self, exc_tuple: tuple[type[BaseException], BaseException, TracebackType], /, **options: object
    ) -> None:
        """Show a traceback."""


def start_tutorial(**packages: Sequence[str]) -> float:
    """Prepare a tutorial and return its scale: 1, or the number in the environment variable TUTORIAL_SCALE.

    Call the function before Keras is imported, because it sets defaults of environment variables: the backend
    TensorFlow, and TensorFlow without informational messages. In a notebook, a `NameError` then also says that an
    earlier cell was not run.

    Args:
        packages: Optional packages that the tutorial imports: lists of modules by extra of deeprnn-keras.

    Raises:
        ImportError: If packages are missing. The message names all of them and the command that installs them.
        ValueError: If TUTORIAL_SCALE is not a number in (0, 1].

    >>> from deeprnn_keras.tutorial import start_tutorial
    >>> start_tutorial(music=["no_such_package"])
    Traceback (most recent call last):
        ...
    ImportError: This tutorial requires no_such_package; install it with: pip install 'deeprnn-keras[music]'
    """
    missing = {extra: [name for name in modules if find_spec(name) is None] for extra, modules in packages.items()}
    names = [DISTRIBUTIONS.get(module, module) for modules in missing.values() for module in modules]
    if names:
        extras = ",".join(extra for extra, modules in missing.items() if modules)
        pronoun = "it" if len(names) == 1 else "them"
        raise ImportError(
            f"This tutorial requires {', '.join(names)}; install {pronoun} with: pip install 'deeprnn-keras[{extras}]'"
        )
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        shell.set_custom_exc((NameError,), _explain_name_error)
    return _scale(os.environ.get("TUTORIAL_SCALE", "1"))


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale <= 1:
        raise ValueError(f"the environment variable TUTORIAL_SCALE must be a number in (0, 1], got {text!r}")
    return scale


def _explain_name_error(
    shell: Shell,
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType,
    tb_offset: int | None = None,
) -> None:
    """Show the error of a cell with a remedy; `set_custom_exc` of IPython calls this function."""
    if kind is NameError:  # and not its subclass for local variables
        error.args = (f"{error}. {OUT_OF_ORDER}",)
    shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
