"""Right-padded sequences: the input of lengths, which takes the place of the mask of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from deeprnn_keras.exporters.onnx_file.graph import Graph
from deeprnn_keras.exporters.target import Options
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program


@dataclass(frozen=True)
class Padding:
    """Values that tell the steps of sequences from padding.

    Attributes:
        lengths: Name of the lengths (n,), int32.
        mask: Name of the mask (T, n, 1), False for padding.
    """

    lengths: str
    mask: str


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


def write_padding(graph: Graph, lengths: str, x: str) -> Padding:
    """Append the mask of sequences with given lengths; `x` is any input, time-major."""
    steps = graph.node("Squeeze", graph.node("Shape", x, start=0, end=1))
    positions = graph.node("Range", graph.constant(0, np.int64), steps, graph.constant(1, np.int64))
    before_end = graph.node(
        "Less",
        graph.node("Unsqueeze", positions, graph.integers(1, 2)),
        graph.node("Unsqueeze", graph.node("Cast", lengths, to=TensorProto.INT64), graph.integers(0, 2)),
    )
    return Padding(lengths, before_end)


def zeroed_recurrences(program: Program) -> set[str]:
    """Return the forward recurrences of bidirectional layers; their values in the padding are zero in Keras.

    The last step of their values is that of the sequence nevertheless.
    """
    recurrences = [one for one in program.operations if isinstance(one, op.Recurrence)]
    reverse = {one.inputs for one in recurrences if one.reverse}
    return {one.name for one in recurrences if not one.reverse and one.inputs in reverse}


def write_zeros(graph: Graph, padding: Padding, value: str) -> str:
    """Append the replacement of the padding of a value by zeros."""
    return graph.node("Where", padding.mask, value, graph.constant(0.0))
