"""Names of the inputs and outputs of exported graphs."""

from __future__ import annotations

from deeprnn_keras.program.program import Program


def next_state(name: str) -> str:
    """Return the name of the output with a state after the last step."""
    return f"{name}/next"


def output_names(program: Program) -> list[str]:
    """Return the names of the outputs of a file: those of the program, unless they are inputs or used twice."""
    used = {one.name for one in program.inputs} | set(program.states) | {next_state(name) for name in program.states}
    names: list[str] = []
    for name in program.outputs:
        candidates = (name, *(f"{name}/output_{number}" for number in range(1, len(program.outputs) + 1)))
        names.append(next(one for one in candidates if one not in used))
        used.add(names[-1])
    return names
