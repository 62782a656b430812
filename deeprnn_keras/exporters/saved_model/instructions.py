"""Instructions of traced equations as TensorFlow operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from deeprnn_keras._types import Tensor
from deeprnn_keras.equations.trace import Instruction, Trace
from deeprnn_keras.kernels.xla.feature_major import PRIMITIVES

Columns = tuple[tuple[int, int], ...]
Parts = Mapping[tuple[str, Columns], Tensor]
"""{(name in the instructions, columns): tensor}."""

FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    **PRIMITIVES,
    "mean": lambda a: tf.reduce_mean(a, axis=-1, keepdims=True),
    "concatenate": lambda *values: tf.concat(values, axis=-1),
}
"""{primitive that reads no weight: function of its operands}."""


def read_parts(trace: Trace, weights: Mapping[str, Tensor]) -> Parts:
    """Return the columns of weights and biases that instructions apply; outside of a loop, they are selected once.

    Args:
        trace: The instructions.
        weights: {name in the instructions: tensor}.
    """
    used = {(name, one.columns) for one in trace.instructions for name in (one.weight, one.bias) if name is not None}
    return {(name, columns): _selected(weights[name], columns) for name, columns in sorted(used)}


def _selected(tensor: Tensor, columns: Columns) -> Tensor:
    if columns == ((0, tensor.shape[-1]),):
        return tensor
    return tf.concat([tensor[..., start:stop] for start, stop in columns], axis=-1)


def evaluate(
    trace: Trace, known: Sequence[Tensor], parts: Parts, start: int = 0, stop: int | None = None
) -> list[Tensor]:
    """Return the values of a trace: `known`, followed by the results of instructions `start` to `stop`."""
    values = list(known)
    for one in trace.instructions[start:stop]:
        values.append(_result(one, [values[index] for index in one.operands], parts))
    return values


def _result(one: Instruction, operands: list[Tensor], parts: Parts) -> Tensor:
    if one.primitive in FUNCTIONS:
        return FUNCTIONS[one.primitive](*operands)
    if one.primitive == "split":
        return operands[0][..., one.start : one.start + one.width]
    if one.primitive == "constant":
        return tf.constant([one.number], tf.float32)
    result = _product(one, operands[0], parts[one.weight or "", one.columns])
    return result if one.bias is None else result + parts[one.bias, one.columns]


def _product(one: Instruction, x: Tensor, weight: Tensor) -> Tensor:
    if one.primitive == "affine":
        return matmul(x, weight)
    assert one.primitive == "diagonal", one.primitive
    return tf.concat([x] * (one.width // x.shape[-1]), axis=-1) * weight


def matmul(x: Tensor, weight: Tensor, transposed: bool = False) -> Tensor:
    """Return the product with a matrix as one matrix product, for sequences, too."""
    rows = tf.reshape(x, [-1, x.shape[-1]]) if x.shape.rank > 2 else x
    result = tf.matmul(rows, weight, transpose_b=transposed)
    if x.shape.rank == 2:
        return result
    result = tf.reshape(result, tf.concat([tf.shape(x)[:-1], tf.shape(result)[-1:]], axis=0))
    result.set_shape([*x.shape[:-1], weight.shape[0 if transposed else 1]])
    return result
