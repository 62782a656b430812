"""Matrices that quantized files store as integers of 8 bits."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

LARGEST_INT8 = 127
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)  # quotients by smaller numbers are inexact


def to_int8(matrix: np.ndarray, axis: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return integers from -127 to 127 and scales, whose products are the nearest to a matrix.

    Args:
        matrix: Two-dimensional array.
        axis: Numbers along this axis share a scale; None for one scale.

    Returns:
        int8 of the same shape, and float32 whose size along `axis`, or along both, is 1.
    """
    scales = np.abs(matrix).max(axis=axis, keepdims=True).astype(np.float32) / np.float32(LARGEST_INT8)
    scales = np.where(scales >= SMALLEST_SCALE, scales, np.float32(1))
    return np.rint(matrix / scales).astype(np.int8), scales


def factors(operation: op.Operation) -> list[str]:
    """Return the names of the weights (inputs, outputs) by which an operation multiplies vectors.

    The head that is tied to an embedding is not among them: its weight is (outputs, inputs).
    """
    if isinstance(operation, op.Dense) and not operation.transposed:
        return [operation.kernel]
    if isinstance(operation, op.Recurrent):
        return [operation.kernel, operation.recurrent_kernel]
    if isinstance(operation, op.Cell):
        products = {one.weight for one in operation.step.instructions if one.primitive == "affine"}
        return [name for local, name in operation.weights if local in products]
    return []


def note(program: Program, quantized: Iterable[str], details: str) -> str:
    """Return the remark on a quantized file.

    Args:
        program: The program.
        quantized: Names of the weights with 8 bits.
        details: The scales, and how products are computed.
    """
    count = sum(program.weights[name].size for name in set(quantized))
    return f"quantize='int8': {count:,} of {program.num_weights:,} weights have 8 bits, {details}."
