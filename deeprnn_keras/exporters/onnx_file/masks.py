"""Right-padded sequences: the input of lengths, which takes the place of the mask of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from deeprnn_keras.exporters.onnx_file.graph import Graph


@dataclass(frozen=True)
class Padding:
    """Values that tell the steps of sequences from padding.

    Attributes:
        lengths: Name of the lengths (n,), int32.
        mask: Name of the mask (T, n, 1), False for padding.
    """

    lengths: str
    mask: str


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


def write_zeros(graph: Graph, padding: Padding, value: str) -> str:
    """Append the replacement of the padding of a value by zeros."""
    return graph.node("Where", padding.mask, value, graph.constant(0.0))
