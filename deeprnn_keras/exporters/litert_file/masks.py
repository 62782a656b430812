"""Right-padded sequences: the input of lengths, which takes the place of the mask of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deeprnn_keras.exporters.litert_file.arithmetic import elementwise, number_of_steps, reshape
from deeprnn_keras.exporters.litert_file.builder import ANY, Subgraph, Tensor


@dataclass(frozen=True)
class Padding:
    """Values that tell the steps of sequences from padding.

    Attributes:
        lengths: The lengths (n,), int32.
        mask: (n, T, 1), False for padding.
    """

    lengths: Tensor
    mask: Tensor


def write_padding(graph: Subgraph, lengths: Tensor, x: Tensor) -> Padding:
    """Append the mask of sequences with given lengths; `x` is any input."""
    numbers = [graph.constant(0, np.int32), reshape(graph, number_of_steps(graph, x)), graph.constant(1, np.int32)]
    positions = graph.apply("RANGE", numbers, (ANY,), dtype=np.int32, options="Range")
    operands = [reshape(graph, positions, 1, ANY, 1), reshape(graph, lengths, x.shape[0], 1, 1)]
    mask = graph.apply("LESS", operands, (x.shape[0], ANY, 1), dtype=np.bool_, options="Less")
    return Padding(lengths, mask)


def select(graph: Subgraph, mask: Tensor, value: Tensor, other: Tensor) -> Tensor:
    """Append the selection of a value where the mask is True, of another elsewhere."""
    return graph.apply("SELECT_V2", [mask, value, other], value.shape, options="SelectV2")


def write_zeros(graph: Subgraph, padding: Padding, value: Tensor) -> Tensor:
    """Append the replacement of the padding of a value by zeros."""
    return select(graph, padding.mask, value, graph.constant([0.0]))


def write_repeated(graph: Subgraph, padding: Padding, value: Tensor) -> Tensor:
    """Append the replacement of the padding of a value by its last step, or by zeros for sequences without steps."""
    n, _, width = value.shape
    zero, one = graph.constant(0, np.int32), graph.constant(1, np.int32)
    index = elementwise(graph, "maximum", elementwise(graph, "subtract", padding.lengths, one), zero)
    operands = [value, reshape(graph, index, n, 1)]
    last = graph.apply("GATHER", operands, (n, 1, width), options="Gather", axis=1, batchDims=1)
    present = graph.apply("CAST", [elementwise(graph, "minimum", padding.lengths, one)], (n,), options="Cast")
    last = elementwise(graph, "multiply", last, reshape(graph, present, n, 1, 1))
    return select(graph, padding.mask, value, last)


def reverse(graph: Subgraph, x: Tensor, padding: Padding | None = None) -> Tensor:
    """Append the reversal of the steps, or of those before the padding."""
    if padding is None:
        return graph.apply("REVERSE_V2", [x, graph.constant([1], np.int32)], x.shape, options="ReverseV2")
    operands = [x, padding.lengths]
    return graph.apply("REVERSE_SEQUENCE", operands, x.shape, options="ReverseSequence", seqDim=1, batchDim=0)
