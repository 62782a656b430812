"""Structures of `deeprnn_push` and `deeprnn_step`, which execute programs; see src/deeprnn.h."""

from __future__ import annotations

import ctypes

import numpy as np

from deeprnn_keras.kernels.native.memory import empty

KINDS = {
    name: kind
    for kind, name in enumerate(
        (
            *("copy", "gather", "one_hot", "affine", "diagonal", "softmax", "log_softmax", "normalize", "mean"),
            *("recurrent", "cell"),
            *("negate", "sigmoid", "tanh", "relu", "hard_sigmoid", "exp", "log", "softplus", "sqrt", "rsqrt"),
            *("sin", "cos"),
            *("add", "subtract", "multiply", "divide", "maximum", "greater", "where"),
        )
    )
}
"""{name: number} of the operations, in the order of the enumeration in src/deeprnn.h."""

STRIP_VECTORS = 4
"""Vectors of a whole strip of columns (src/strips.h)."""

_POINTER, _INT32, _INT64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64


class Matrix(ctypes.Structure):
    """A matrix in strips of columns."""

    _fields_ = [("packed", _POINTER), ("rows", _INT64), ("vectors", _INT64), ("strip", _INT64)]


class Value(ctypes.Structure):
    """Place and layout of a value."""

    _fields_ = [
        ("data", _POINTER),
        *[(name, _INT64) for name in ("step", "row", "width", "ring")],
        *[(name, _INT32) for name in ("ids", "of_call")],
    ]


class Operation(ctypes.Structure):
    """An operation of a program, or of a step of a cell."""

    _fields_ = [
        *[(name, _INT32) for name in ("kind", "result")],
        ("operands", _INT32 * 3),
        *[(name, _INT32) for name in ("cell", "activation", "recurrent_activation", "first_state", "num_states")],
        *[(name, _INT64) for name in ("rate", "from_column", "to_column", "count")],
        *[(name, Matrix) for name in ("W", "U")],
        *[(name, _POINTER) for name in ("scale", "offset")],
        ("epsilon", ctypes.c_double),
        ("centered", _INT64),
        ("steps", _POINTER),
        ("num_steps", _INT64),
        ("new_states", _POINTER),
    ]


class Array(ctypes.Structure):
    """An input or an output of a call."""

    _fields_ = [("data", _POINTER), ("step", _INT64), ("row", _INT64)]


class Stream(ctypes.Structure):
    """A program with its states."""

    _fields_ = [
        *[(name, _INT64) for name in ("abi", "lanes", "n", "chunk", "time", "threads", "products", "smallest_shared")],
        *[(name, _INT64) for name in ("num_operations", "num_values", "num_arrays")],
        *[(name, _POINTER) for name in ("operations", "values", "arrays", "sums")],
        ("busy", ctypes.c_int),
    ]


def pack(columns: np.ndarray, strip: int = STRIP_VECTORS) -> np.ndarray:
    """Return a matrix in strips: each is contiguous over the rows, and the last one may have fewer vectors.

    Args:
        columns: (rows, vectors, lanes).
        strip: Vectors of a whole strip.
    """
    rows, vectors, lanes = columns.shape
    whole = vectors // strip * strip
    packed = empty(columns.size)
    end = rows * whole * lanes
    head = columns[:, :whole].reshape(rows, -1, strip * lanes)
    packed[:end].reshape(-1, rows, strip * lanes)[...] = head.transpose(1, 0, 2)
    packed[end:] = columns[:, whole:].ravel()
    return packed


def vectors(columns: np.ndarray, lanes: int) -> np.ndarray:
    """Return (rows, columns) as (rows, vectors, lanes), padded with zeros."""
    rows, width = columns.shape
    padded = np.zeros((rows, -(-width // lanes) * lanes), np.float32)
    padded[:, :width] = columns
    return padded.reshape(rows, -1, lanes)


def gate_vectors(columns: np.ndarray, gates: int, lanes: int) -> np.ndarray:
    """Return (rows, gates units) as (rows, vectors of units, gates, lanes), so that gates of a unit are neighbors."""
    rows = len(columns)
    blocks = vectors(columns.reshape(rows * gates, -1), lanes)
    return blocks.reshape(rows, gates, -1, lanes).transpose(0, 2, 1, 3)
