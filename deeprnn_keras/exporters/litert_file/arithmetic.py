"""Arithmetic of LiteRT: dense layers, shapes, and the instructions of traced equations as built-in operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from deeprnn_keras.equations.trace import Instruction, Trace
from deeprnn_keras.exporters.litert_file.builder import ANY, Subgraph, Tensor
from deeprnn_keras.exporters.traced_steps import Weights, columns

FLOAT_VERSION, QUANTIZED_VERSION = 5, 12
"""Versions of the product that keep the dimensions of x, and that have one scale per output."""

OPERATORS: dict[str, tuple[str, str | None]] = {
    "negate": ("NEG", "Neg"),
    "sigmoid": ("LOGISTIC", None),
    "tanh": ("TANH", None),
    "relu": ("RELU", None),
    "exp": ("EXP", "Exp"),
    "log": ("LOG", None),
    "absolute": ("ABS", "Abs"),
    "sqrt": ("SQRT", None),
    "rsqrt": ("RSQRT", None),
    "sin": ("SIN", None),
    "cos": ("COS", "Cos"),
    "add": ("ADD", "Add"),
    "subtract": ("SUB", "Sub"),
    "multiply": ("MUL", "Mul"),
    "divide": ("DIV", "Div"),
    "maximum": ("MAXIMUM", "MaximumMinimum"),
    "minimum": ("MINIMUM", "MaximumMinimum"),
}
"""{function: (operator, its table of options)}; the primitives, and those of which others are composed."""


def broadcast(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    """Return the shape of an elementwise result."""
    rank = max(len(tensor.shape) for tensor in tensors)
    shapes = [(1,) * (rank - len(tensor.shape)) + tensor.shape for tensor in tensors]
    return tuple(ANY if ANY in sizes else max(sizes) for sizes in zip(*shapes, strict=True))


def elementwise(graph: Subgraph, function: str, *operands: Tensor, name: str = "") -> Tensor:
    """Append a function in `OPERATORS`."""
    operator, options = OPERATORS[function]
    return graph.apply(operator, operands, broadcast(operands), name, operands[0].dtype, options)


def dense(graph: Subgraph, x: Tensor, weight: Tensor, bias: Tensor | None, name: str = "") -> Tensor:
    """Append x W + b with the transposed weight (width, inputs), of 32 or 8 bits."""
    shape = (*x.shape[:-1], weight.shape[0])
    version = QUANTIZED_VERSION if weight.dtype == np.int8 else FLOAT_VERSION
    return graph.apply(
        "FULLY_CONNECTED", [x, weight, bias], shape, name, options="FullyConnected", version=version, keepNumDims=True
    )


def reshape(graph: Subgraph, x: Tensor, *shape: int, name: str = "") -> Tensor:
    """Append a reshape; `ANY` stands for at most one size."""
    sizes = graph.constant(shape, np.int32)
    return graph.apply("RESHAPE", [x, sizes], shape, name, x.dtype, options="Reshape", newShape=list(shape))


def concatenate(graph: Subgraph, values: Sequence[Tensor], name: str = "", axis: int = -1) -> Tensor:
    """Append a concatenation along an axis of known size."""
    shape = list(values[0].shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    dtype = values[0].dtype
    return graph.apply("CONCATENATION", values, shape, name, dtype, "Concatenation", axis=axis % len(shape))


def part(graph: Subgraph, x: Tensor, start: int, width: int, axis: int = -1) -> Tensor:
    """Append the selection of `width` entries of an axis from `start`."""
    shape, begin = list(x.shape), [0] * len(x.shape)
    shape[axis], begin[axis] = width, start
    sizes = [graph.constant(one, np.int32) for one in (begin, shape)]  # a size of -1 is the rest of the axis
    return graph.apply("SLICE", [x, *sizes], shape, dtype=x.dtype, options="Slice")


def number_of_steps(graph: Subgraph, x: Tensor) -> Tensor:
    """Append the number of steps of a sequence as a vector of one integer."""
    rank, int32 = len(x.shape), schema.TensorType.INT32
    sizes = graph.apply("SHAPE", [x], (rank,), dtype=np.int32, options="Shape", outType=int32)
    return part(graph, sizes, 1, 1)


def mean(graph: Subgraph, x: Tensor) -> Tensor:
    """Append the mean over the features, of width 1."""
    axes = graph.constant([len(x.shape) - 1], np.int32)
    return graph.apply("MEAN", [x, axes], (*x.shape[:-1], 1), options="Reducer", keepDims=True)


# === Instructions ===


def write_instructions(
    graph: Subgraph,
    trace: Trace,
    known: Sequence[Tensor | None],
    weights: Weights,
    start: int = 0,
    stop: int | None = None,
) -> list[Tensor | None]:
    """Append the operators of instructions `start` to `stop`; return `known`, followed by their results."""
    values = list(known)
    for one in trace.instructions[start:stop]:
        operands = [value for value in (values[index] for index in one.operands) if value is not None]
        values.append(_write(graph, one, operands, weights))
    return values


def _write(graph: Subgraph, one: Instruction, operands: list[Tensor], weights: Weights) -> Tensor:
    if one.primitive in OPERATORS:
        return elementwise(graph, one.primitive, *operands)
    if one.primitive == "affine":
        return _affine(graph, one, operands[0], weights)
    if one.primitive == "diagonal":
        return _diagonal(graph, one, operands[0], weights)
    if one.primitive == "constant":
        return graph.constant([one.number])
    if one.primitive == "split":
        return part(graph, operands[0], one.start, one.width)
    if one.primitive == "concatenate":
        return concatenate(graph, operands)
    return _composed(graph, one.primitive, operands)


def _composed(graph: Subgraph, primitive: str, operands: list[Tensor]) -> Tensor:
    """Append a primitive that is composed of several operators."""
    a = operands[0]
    if primitive == "mean":
        return mean(graph, a)
    if primitive == "hard_sigmoid":
        line = elementwise(
            graph, "add", elementwise(graph, "multiply", a, graph.constant([1 / 6])), graph.constant([0.5])
        )
        return elementwise(graph, "minimum", elementwise(graph, "relu", line), graph.constant([1.0]))
    if primitive == "softplus":  # max(a, 0) + log(1 + exp(-|a|))
        small = elementwise(graph, "exp", elementwise(graph, "negate", elementwise(graph, "absolute", a)))
        logarithm = elementwise(graph, "log", elementwise(graph, "add", small, graph.constant([1.0])))
        return elementwise(graph, "add", elementwise(graph, "relu", a), logarithm)
    if primitive == "greater":
        condition = graph.apply("GREATER", operands, broadcast(operands), dtype=np.bool_, options="Greater")
        return graph.apply("CAST", [condition], condition.shape, options="Cast")
    assert primitive == "where", primitive
    condition = graph.apply("NOT_EQUAL", [a, graph.constant([0.0])], a.shape, dtype=np.bool_, options="NotEqual")
    return graph.apply("SELECT_V2", [condition, *operands[1:]], broadcast(operands), options="SelectV2")


def _affine(graph: Subgraph, one: Instruction, x: Tensor, weights: Weights) -> Tensor:
    name, array, key = columns(one, one.weight, weights)
    weight = graph.matrix(f"{name}/transposed{key or ''}", array.T)
    return dense(graph, x, weight, _bias(graph, one, weights))


def _diagonal(graph: Subgraph, one: Instruction, x: Tensor, weights: Weights) -> Tensor:
    name, array, key = columns(one, one.weight, weights)
    count = one.width // x.shape[-1]
    repeated = x if count == 1 else concatenate(graph, [x] * count)
    product = elementwise(graph, "multiply", repeated, graph.weight(f"{name}{key or ''}", array))
    bias = _bias(graph, one, weights)
    return product if bias is None else elementwise(graph, "add", product, bias)


def _bias(graph: Subgraph, one: Instruction, weights: Weights) -> Tensor | None:
    if one.bias is None:
        return None
    name, array, key = columns(one, one.bias, weights)
    return graph.weight(f"{name}{key or ''}", array)
