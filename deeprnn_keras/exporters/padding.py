"""Right-padded sequences: which files have an input of lengths, in place of the mask of the model."""

from __future__ import annotations

from deeprnn_keras.exporters.target import Options
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program


def lengths_name(program: Program, options: Options) -> str | None:
    """Return the name of the input of lengths, or None if a file has none.

    It has one if a mask of the model is read by all its recurrences, which are not dilated and read no reversed value:
    the padding is at the end for all of them.
    """
    recurrences = [one.name for one in program.operations if isinstance(one, op.Recurrence)]
    masked = program.attributes.get("masked")
    if options.streaming or not isinstance(masked, dict) or [set(recurrences)] != [set(one) for one in masked.values()]:
        return None
    reversed_values: set[str] = set()
    for one in program.operations:
        if isinstance(one, op.Reverse) or reversed_values.intersection(one.inputs):
            reversed_values.add(one.name)
        if isinstance(one, op.Recurrence) and (one.rate > 1 or one.name in reversed_values):
            return None
    used = {*program.widths, *program.outputs}
    return next(name for name in ("lengths", *(f"lengths_{number}" for number in range(2, 9))) if name not in used)


def lengths_notes(program: Program, options: Options) -> list[str]:
    """Return the note on the input of lengths, if a file has one."""
    name = lengths_name(program, options)
    if name is None:
        return []
    return [f"The mask of the model is the input {name!r} (n,), the numbers of steps before the padding."]


def zeroed_recurrences(program: Program) -> set[str]:
    """Return the recurrences of bidirectional layers whose values in the padding are replaced by zeros, as in Keras.

    The last step of the forward values is that of the sequence nevertheless. Reverse recurrences read the padding
    first, so that its value is their initial state, which is zero unless it is learned.
    """
    recurrences = [one for one in program.operations if isinstance(one, op.Recurrence)]
    reverse = {one.inputs for one in recurrences if one.reverse}
    return {one.name for one in recurrences if (one.initial if one.reverse else one.inputs in reverse)}
