"""Steps of recurrences as instructions with their weights, for targets that have no operator for a recurrence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from deeprnn_keras.equations.trace import Instruction, Trace
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.interpreter import standard_trace
from deeprnn_keras.program.program import Program

Weights = Mapping[str, tuple[str, np.ndarray]]
"""{name in the instructions: (name in the file, array)}."""


def traced_step(program: Program, operation: op.Recurrence) -> tuple[Trace, Weights]:
    """Return the instructions of a recurrence, that of a standard cell, too, and its weights."""
    if isinstance(operation, op.Cell):
        return operation.step, {local: (name, program.weights[name]) for local, name in operation.weights}
    assert isinstance(operation, op.Recurrent)
    trace, arrays = standard_trace(operation, program.weights)
    return trace, {local: (f"{operation.name}/{local}", array) for local, array in arrays.items()}


def sequences_read(trace: Trace) -> list[int]:
    """Return the indices of the values of all steps that the part after `projected` reads, x if there is none."""
    sequences = {0}
    for index, one in enumerate(trace.instructions[: trace.projected], start=len(trace.inputs)):
        if sequences.intersection(one.operands):
            sequences.add(index)
    read = {index for one in trace.instructions[trace.projected :] for index in one.operands} | set(trace.outputs)
    return sorted(sequences & read) or [0]


def columns(one: Instruction, local: str | None, weights: Weights) -> tuple[str, np.ndarray, object]:
    """Return the columns of a weight or bias that an instruction reads: its name in the file, the array, and a key.

    The key is None for the whole array; otherwise it tells the selected columns from others of the same weight.
    """
    name, array = weights[local or ""]
    if one.columns == ((0, array.shape[-1]),):
        return name, array, None
    return name, np.concatenate([array[..., start:stop] for start, stop in one.columns], axis=-1), one.columns
