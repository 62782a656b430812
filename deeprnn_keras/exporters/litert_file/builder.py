"""`FileBuilder` and `Subgraph`: a LiteRT file that is being made, through the objects of its schema."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from deeprnn_keras.exporters.quantization import to_int8

TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}
FILE_IDENTIFIER = b"TFL3"
MAX_DEPRECATED_CODE = 127
"""Largest code of an operator in the field that old runtimes read."""

ALIGNMENT = 16
"""Alignment of weights in bytes."""

ANY = -1
"""Size of an axis that the caller sets by resizing an input."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a subgraph.

    Attributes:
        index: Its number.
        shape: Its shape, with `ANY` for a size that the caller sets.
        dtype: Its type.
    """

    index: int
    shape: tuple[int, ...]
    dtype: Any = np.float32


class _AlignedBuilder(flatbuffers.Builder):
    """A builder that aligns weights to 16 bytes, as the runtime's vector instructions expect."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:
        """Begin a vector."""
        return super().StartVector(elemSize, numElems, max(alignment, ALIGNMENT))


class FileBuilder:
    """Buffers, operator codes, and subgraphs of a file.

    Args:
        quantize: Store matrices as integers of 8 bits.
    """

    def __init__(self, quantize: bool = False) -> None:
        self.quantize = quantize
        self.buffers: list[Any] = [schema.BufferT()]  # the first is empty, that of all tensors without data
        self.subgraphs: list[Subgraph] = []
        self._codes: dict[tuple[str, int], int] = {}
        self._known: dict[bytes, int] = {}  # {digest of the data: number of its buffer}

    def subgraph(self, name: str) -> Subgraph:
        """Append an empty subgraph; the first is the main one."""
        self.subgraphs.append(Subgraph(self, name))
        return self.subgraphs[-1]

    def buffer(self, data: bytes) -> int:
        """Append a buffer and return its number."""
        one: Any = schema.BufferT()
        one.data = np.frombuffer(data, np.uint8)
        self.buffers.append(one)
        return len(self.buffers) - 1

    def array_buffer(self, array: np.ndarray) -> int:
        """Return the number of a buffer with the values of an array; equal arrays share it."""
        data = np.ascontiguousarray(array).tobytes()
        digest = hashlib.sha256(data).digest()
        if digest not in self._known:
            self._known[digest] = self.buffer(data)
        return self._known[digest]

    def code(self, operator: str, version: int) -> int:
        """Return the number of an operator, a name in the schema."""
        return self._codes.setdefault((operator, version), len(self._codes))

    def data(self, description: str, metadata: dict[str, bytes]) -> bytes:
        """Return the file."""
        model = schema.ModelT()
        model.version = 3
        model.description = description
        model.metadata = [self._metadata(name, data) for name, data in metadata.items()]
        model.buffers = self.buffers
        model.operatorCodes = [self._operator_code(*key) for key in self._codes]
        model.subgraphs = [one.content for one in self.subgraphs]
        model.signatureDefs = [self._signature()]
        builder = _AlignedBuilder(1024)
        builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _metadata(self, name: str, data: bytes) -> Any:  # noqa: ANN401 - an object of the schema
        one = schema.MetadataT()
        one.name, one.buffer = name, self.buffer(data)
        return one

    @staticmethod
    def _operator_code(operator: str, version: int) -> Any:  # noqa: ANN401 - an object of the schema
        one = schema.OperatorCodeT()
        one.builtinCode = getattr(schema.BuiltinOperator, operator)
        one.deprecatedBuiltinCode = min(one.builtinCode, MAX_DEPRECATED_CODE)
        one.version = version
        return one

    def _signature(self) -> Any:  # noqa: ANN401 - an object of the schema
        """Return the names of inputs and outputs of the main subgraph."""
        content = self.subgraphs[0].content
        signature: Any = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        signature.inputs, signature.outputs = (
            [self._named(content.tensors[index].name, index) for index in indices]
            for indices in (content.inputs, content.outputs)
        )
        return signature

    @staticmethod
    def _named(name: str, index: int) -> Any:  # noqa: ANN401 - an object of the schema
        one = schema.TensorMapT()
        one.name, one.tensorIndex = name, index
        return one


class Subgraph:
    """Tensors and operators of a subgraph."""

    def __init__(self, file: FileBuilder, name: str) -> None:
        self.file, self.number = file, len(file.subgraphs)
        self.content: Any = schema.SubGraphT()
        self.content.name = name
        self.content.tensors, self.content.operators, self.content.inputs, self.content.outputs = [], [], [], []
        self._constants: dict[object, Tensor] = {}

    # === Tensors ===

    def tensor(self, name: str, shape: Sequence[int], dtype: Any = np.float32, variable: bool = False) -> Tensor:  # noqa: ANN401
        """Append a tensor.

        Args:
            name: Its name.
            shape: Its shape, with `ANY` for a size that the caller sets.
            dtype: Its type.
            variable: The tensor keeps its values between calls.
        """
        one = schema.TensorT()
        one.name, one.type, one.isVariable, one.buffer = name, TYPES[np.dtype(dtype)], variable, 0
        one.shape = [1 if size == ANY else size for size in shape]
        one.hasRank = True
        if ANY in shape:
            one.shapeSignature = list(shape)
        self.content.tensors.append(one)
        return Tensor(len(self.content.tensors) - 1, tuple(shape), dtype)

    def input(self, name: str, shape: Sequence[int], dtype: Any = np.float32) -> Tensor:  # noqa: ANN401
        """Append an input."""
        tensor = self.tensor(name, shape, dtype)
        self.content.inputs.append(tensor.index)
        return tensor

    def weight(self, name: str, array: np.ndarray, scales: np.ndarray | None = None) -> Tensor:
        """Append a constant, once per name; `scales` belong to integers, one to all or to each row."""
        key = (name, array.shape, array.dtype.str)
        if key not in self._constants:
            tensor = self.tensor(name, array.shape, array.dtype)
            content = self.content.tensors[tensor.index]
            content.buffer = self.file.array_buffer(array)
            if scales is not None:
                content.quantization = schema.QuantizationParametersT()
                content.quantization.scale = scales.tolist()
                content.quantization.zeroPoint = [0] * len(scales)
            self._constants[key] = tensor
        return self._constants[key]

    def matrix(self, name: str, array: np.ndarray, per_output: bool = True) -> Tensor:
        """Append a matrix (outputs, inputs); in a quantized file, as integers with one scale, or one per output."""
        if not self.file.quantize:
            return self.weight(name, array)
        integers, scales = to_int8(array, axis=1 if per_output else None)
        return self.weight(name, integers, scales.ravel())

    def constant(self, values: Any, dtype: Any = np.float32) -> Tensor:  # noqa: ANN401 - numbers
        """Append a constant of a few numbers; equal ones are added once."""
        array = np.asarray(values, dtype)
        return self.weight(f"constant/{array.tolist()}", array)

    # === Operators ===

    def apply(
        self,
        operator: str,
        inputs: Sequence[Tensor | None],
        shape: Sequence[int],
        name: str = "",
        dtype: Any = np.float32,  # noqa: ANN401
        options: str | None = None,
        version: int = 1,
        **values: Any,
    ) -> Tensor:
        """Append an operator with one result.

        Args:
            operator: Name of the operator in the schema.
            inputs: Its inputs, None for one that is absent.
            shape: Shape of the result.
            name: Name of the result.
            dtype: Type of the result.
            options: Name of the table of options in the schema, without "Options", or None for an operator without.
            version: Version of the operator.
            **values: Options.
        """
        result = self.tensor(name or f"{operator.lower()}_{len(self.content.tensors)}", shape, dtype)
        self.append(operator, inputs, [result], options, version, **values)
        return result

    def append(
        self,
        operator: str,
        inputs: Sequence[Tensor | None],
        results: Sequence[Tensor],
        options: str | None = None,
        version: int = 1,
        **values: Any,
    ) -> None:
        """Append an operator whose results are given tensors."""
        one = schema.OperatorT()
        one.opcodeIndex = self.file.code(operator, version)
        one.inputs = [-1 if tensor is None else tensor.index for tensor in inputs]
        one.outputs = [result.index for result in results]
        if options is not None:
            one.builtinOptionsType = getattr(schema.BuiltinOptions, f"{options}Options")
            one.builtinOptions = getattr(schema, f"{options}OptionsT")()
            for name, value in values.items():
                setattr(one.builtinOptions, name, value)
        self.content.operators.append(one)
