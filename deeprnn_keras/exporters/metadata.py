"""Facts about a model that its file contains as JSON."""

from __future__ import annotations

from importlib.metadata import version

from deeprnn_keras.program.program import Program

PACKAGE = "deeprnn-keras"


def facts(program: Program) -> dict[str, object]:
    """Return facts about a model as JSON values.

    They are the package and its version, the name of the model, the attributes of its program, and the learned states
    before the first step, if there are any.
    """
    learned = {name: program.weights[one.initial].tolist() for name, one in program.states.items() if one.initial}
    states = {"initial_states": learned} if learned else {}
    return {"package": f"{PACKAGE} {version(PACKAGE)}", "name": program.name, **program.attributes, **states}
