"""Weights of a program as constants of a C file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from deeprnn_keras.exporters.c_source.fragments import STRIP
from deeprnn_keras.exporters.identifiers import Names
from deeprnn_keras.exporters.quantization import factors, to_int8
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

NUMBERS_PER_LINE = 10


@dataclass(frozen=True)
class Matrix:
    """A matrix of a C file.

    Attributes:
        name: Identifier of its array.
        scale: Identifier of the scales of its columns, None for 32 bits.
        inputs: Number of rows.
        outputs: Number of columns.
    """

    name: str
    scale: str | None
    inputs: int
    outputs: int

    def call(self, function: str, y: str, x: str, bias: str | None = None) -> str:
        """Return the call of a function that writes a product, a row, or a column of the matrix plus a bias to y."""
        arrays = f"{self.name}, " if self.scale is None else f"{self.name}, {self.scale}, "
        suffix = "" if self.scale is None else "_int8"
        return f"{function}{suffix}({y}, {x}, {arrays}{bias or 0}, {self.inputs}, {self.outputs});"


class Weights:
    """The constants of a C file. Equal arrays are written once.

    Args:
        names: Identifiers of the file.
        quantized: Write matrices with 8 bits.
    """

    def __init__(self, names: Names, quantized: bool) -> None:
        self.names, self.quantized = names, quantized
        self._vectors: dict[bytes, str] = {}
        self._matrices: dict[tuple[tuple[int, ...], bytes], Matrix] = {}
        self._texts: list[str] = []

    def vector(self, name: str, array: np.ndarray) -> str:
        """Add a vector and return its identifier."""
        array = np.ascontiguousarray(array, np.float32).ravel()
        key = array.tobytes()
        if key not in self._vectors:
            self._vectors[key] = self._declare("float", name, _floats(array))
        return self._vectors[key]

    def matrix(self, name: str, array: np.ndarray) -> Matrix:
        """Add a matrix (inputs, outputs)."""
        key = (array.shape, np.ascontiguousarray(array).tobytes())
        if key not in self._matrices:
            self._matrices[key] = self._new_matrix(name, array)
        return self._matrices[key]

    def _new_matrix(self, name: str, array: np.ndarray) -> Matrix:
        if not self.quantized:
            return Matrix(self._declare("float", name, _floats(in_strips(array))), None, *array.shape)
        integers, scales = to_int8(array, axis=0)
        identifier = self._declare("int8_t", name, map(str, in_strips(integers).tolist()))
        return Matrix(identifier, self.vector(f"{name}_scale", scales), *array.shape)

    def _declare(self, kind: str, name: str, numbers: Iterator[str] | list[str]) -> str:
        identifier = self.names.new(f"w_{self.names.plain(name)}")
        numbers = list(numbers)
        lines = [
            "  " + ", ".join(numbers[start : start + NUMBERS_PER_LINE]) + ","
            for start in range(0, len(numbers), NUMBERS_PER_LINE)
        ]
        self._texts.append("\n".join([f"static const {kind} {identifier}[{len(numbers)}] = {{", *lines, "};\n"]))
        return identifier

    def text(self) -> str:
        """Return the declarations."""
        return "\n".join(self._texts)


def _floats(array: np.ndarray) -> list[str]:
    """Return literals that are exactly the numbers: 9 digits determine a float."""
    return [float_literal(value) for value in array.tolist()]


def float_literal(value: float) -> str:
    """Return the literal of a float."""
    text = f"{value:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def in_strips(matrix: np.ndarray) -> np.ndarray:
    """Return a matrix in blocks of columns, each block row by row."""
    return np.concatenate([matrix[:, start : start + STRIP].ravel() for start in range(0, matrix.shape[1], STRIP)])


# === 8 bits ===


def dequantized(program: Program) -> Program:
    """Return the program whose weights are those of a file with 8 bits."""
    weights = dict(program.weights)
    for name, axis in matrix_weights(program):
        matrix = np.moveaxis(program.weights[name], axis, -1)
        integers, scales = to_int8(matrix, axis=0)
        weights[name] = np.moveaxis(integers * scales, -1, axis)
    return replace(program, weights=weights)


def matrix_weights(program: Program) -> Iterator[tuple[str, int]]:
    """Yield the name and the axis of the outputs of each matrix."""
    tied = tied_weights(program)
    for operation in program.operations:
        if isinstance(operation, op.Embedding):
            yield operation.weight, 0 if operation.weight in tied else 1
        elif isinstance(operation, op.Dense) and operation.transposed:
            yield operation.kernel, 0
        else:
            yield from ((name, 1) for name in factors(operation))


def tied_weights(program: Program) -> set[str]:
    """Return the names of the weights that a product uses transposed, as a head that is tied to the embedding."""
    return {one.kernel for one in program.operations if isinstance(one, op.Dense) and one.transposed}
