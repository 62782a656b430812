"""Instructions of traced equations as ONNX nodes."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import TensorProto

from deeprnn_keras.equations.trace import Instruction, Trace
from deeprnn_keras.exporters.onnx_file.graph import Graph
from deeprnn_keras.exporters.traced_steps import Weights, columns

OPERATORS = {
    "negate": "Neg",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "exp": "Exp",
    "log": "Log",
    "softplus": "Softplus",
    "sqrt": "Sqrt",
    "sin": "Sin",
    "cos": "Cos",
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "maximum": "Max",
}
"""Primitives that are one node without attributes."""

HARD_SIGMOID = (1 / 6, 0.5)
"""Slope and offset of Keras' hard sigmoid."""


def write_instructions(
    graph: Graph,
    trace: Trace,
    known: Sequence[str],
    weights: Weights,
    start: int = 0,
    stop: int | None = None,
) -> list[str]:
    """Append the nodes of instructions `start` to `stop`; return `known`, followed by the names of their results."""
    values, widths = list(known), trace.widths
    for one in trace.instructions[start:stop]:
        operands = [values[index] for index in one.operands]
        values.append(_write(graph, one, operands, [widths[index] for index in one.operands], weights))
    return values


def _write(graph: Graph, one: Instruction, operands: list[str], widths: list[int], weights: Weights) -> str:
    if one.primitive in OPERATORS:
        return graph.node(OPERATORS[one.primitive], *operands)
    if one.primitive == "affine":
        return _with_bias(
            graph, one, graph.node("MatMul", operands[0], _columns(graph, one, one.weight, weights)), weights
        )
    if one.primitive == "diagonal":
        repeated = _repeated(graph, operands[0], one.width // widths[0])
        return _with_bias(graph, one, graph.node("Mul", repeated, _columns(graph, one, one.weight, weights)), weights)
    if one.primitive == "constant":
        return graph.constant([one.number])
    if one.primitive == "split":
        return graph.slice(operands[0], one.start, one.start + one.width, -1)
    return _composed(graph, one.primitive, operands)


def _composed(graph: Graph, primitive: str, operands: list[str]) -> str:
    """Append a primitive that needs attributes or several nodes."""
    if primitive == "hard_sigmoid":
        return graph.node("HardSigmoid", *operands, alpha=HARD_SIGMOID[0], beta=HARD_SIGMOID[1])
    if primitive == "rsqrt":
        return graph.node("Reciprocal", graph.node("Sqrt", *operands))
    if primitive == "greater":
        return graph.node("Cast", graph.node("Greater", *operands), to=TensorProto.FLOAT)
    if primitive == "where":
        return graph.node("Where", graph.node("Cast", operands[0], to=TensorProto.BOOL), *operands[1:])
    if primitive == "mean":
        return graph.node("ReduceMean", *operands, axes=[-1], keepdims=1)
    assert primitive == "concatenate", primitive
    return graph.node("Concat", *operands, axis=-1)


def _repeated(graph: Graph, value: str, count: int) -> str:
    return value if count == 1 else graph.node("Concat", *[value] * count, axis=-1)


def _with_bias(graph: Graph, one: Instruction, product: str, weights: Weights) -> str:
    return product if one.bias is None else graph.node("Add", product, _columns(graph, one, one.bias, weights))


def _columns(graph: Graph, one: Instruction, local: str | None, weights: Weights) -> str:
    """Return the constant with the columns of a weight, or of a bias, that an instruction reads."""
    return graph.weight(*columns(one, local, weights))
