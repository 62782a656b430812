"""Facts about a model that its file contains as JSON."""

from __future__ import annotations

from importlib.metadata import version

from deeprnn_keras.program.program import Program

PACKAGE = "deeprnn-keras"


def facts(program: Program) -> dict[str, object]:
    """Return the package and its version, the name of a model, and the attributes of its program, as JSON values."""
    return {"package": f"{PACKAGE} {version(PACKAGE)}", "name": program.name, **program.attributes}
