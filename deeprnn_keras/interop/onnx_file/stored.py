"""`read_graph`: the graph of an ONNX file as plain data. Nothing in the file is executed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras import limits
from deeprnn_keras.extras import import_optional
from deeprnn_keras.reading import damage_reported, read_bytes

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto

EXPECTED = "a supported ONNX file"
MAX_BYTES = 2**31 - 1
"""Largest size of a file: the limit of protobuf."""

FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
"""{field of ModelProto: its wire type}: 0 for an integer, 2 for bytes."""

GRAPH_FIELD, OPSET_FIELD = 7, 8
STANDARD_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class StoredArray:
    """A tensor in an ONNX file.

    Attributes:
        name: Its name.
        shape: Its shape.
        dtype: Name of its data type.
        proto: The message that holds it or tells where it is.
        directory: Directory of the file, within which external data must be.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    proto: TensorProto = field(repr=False)
    directory: Path = field(repr=False)

    def read(self) -> np.ndarray:
        """Return the array; half precision, bfloat16, and float64 become float32.

        Raises:
            ValueError: If its data do not have its shape, or are outside the directory of the file.
        """
        from onnx import numpy_helper

        proto = self.proto
        if proto.external_data or proto.data_location == proto.EXTERNAL:
            array = self._from_bytes(_external_bytes(self))
        elif proto.HasField("raw_data"):
            array = self._from_bytes(proto.raw_data)
        else:
            array = np.asarray(numpy_helper.to_array(proto))
        if array.shape != self.shape:
            raise ValueError(
                f"tensor {self.name!r} has shape {list(self.shape)}, but data of shape {list(array.shape)}"
            )
        return array.astype(np.float32) if is_float(self.dtype) else array

    def _from_bytes(self, data: bytes) -> np.ndarray:
        dtype = _numpy_dtype(self.dtype)
        expected = prod(self.shape) * dtype.itemsize
        if len(data) != expected:
            raise ValueError(
                f"tensor {self.name!r} of shape {list(self.shape)} and type {self.dtype} has {len(data):,} bytes of "
                f"data instead of {expected:,}"
            )
        return np.frombuffer(data, dtype).reshape(self.shape)


@dataclass(frozen=True)
class Node:
    """A node of a graph.

    Attributes:
        operator: Its operator, with the domain unless it is that of ONNX.
        name: Its name; the name of its first result if it has none.
        inputs: Names of the values that it reads; "" for one that is absent.
        outputs: Names of its results; "" for one that is absent.
        attributes: Its attributes as numbers, texts, lists of them, and `StoredArray`s; None for graphs and others.
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.operator})"

    def input(self, index: int) -> str:
        """Return the name of an input, "" if it is absent."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def output(self, index: int) -> str:
        """Return the name of a result, "" if it is absent."""
        return self.outputs[index] if index < len(self.outputs) else ""


@dataclass(frozen=True)
class GraphInput:
    """An input of a graph.

    Attributes:
        name: Its name.
        shape: Its sizes, None where they are not fixed; None if the file does not tell the shape.
        dtype: Name of its data type.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str


@dataclass(frozen=True)
class Graph:
    """The graph of an ONNX file.

    Attributes:
        path: Path of the file.
        producer: Name and version of the program that wrote it.
        opset: Version of the operators.
        inputs: Inputs that are not initializers.
        outputs: Names of the outputs.
        nodes: Nodes, in the order of the file.
        constants: {name: tensor} of the initializers.
    """

    path: Path
    producer: str
    opset: int
    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, StoredArray]

    def arrays(self) -> Iterator[StoredArray]:
        """Yield all tensors, those of attributes included."""
        yield from self.constants.values()
        for node in self.nodes:
            yield from (value for value in node.attributes.values() if isinstance(value, StoredArray))


def looks_like_onnx(head: bytes, size: int) -> bool:
    """Return True if bytes are the beginning of an ONNX file.

    An ONNX file has no signature. It is a protobuf message, whose outermost fields are compared with those of a model,
    as far as `head` contains them; the last of them may extend beyond it.

    Args:
        head: The first bytes of the file.
        size: Size of the file.
    """
    position, found = 0, set()
    while position < min(len(head), size):
        tag, position = _varint(head, position)
        number, kind = tag >> 3, tag & 7
        if tag >= 0 and FIELDS.get(number) != kind:
            return False
        value, position = _varint(head, position)
        if tag < 0 or value < 0:  # the field begins in `head` and ends beyond it
            return GRAPH_FIELD in found and len(head) < size
        found.add(number)
        position += value if kind == 2 else 0
        if position > size:
            return False
        if number == GRAPH_FIELD and position > len(head):
            return True
    return GRAPH_FIELD in found and (position == size or len(head) <= position < size)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return a number in protobuf's encoding and the position after it; -1 beyond the end of the data."""
    value = 0
    for index, byte in enumerate(data[position : position + 10]):
        value |= (byte & 127) << (7 * index)
        if byte < 128:
            return value, position + index + 1
    return -1, len(data)


def read_graph(path: Path) -> Graph:
    """Return the graph of an ONNX file. Its tensors are read later, one by one.

    Raises:
        FileNotFoundError: If the file does not exist.
        ImportError: If the package onnx is missing.
        DamagedFileError: If it is not an ONNX file, or is damaged.
    """
    import_optional("onnx", "onnx", "Reading ONNX files")
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    with damage_reported(path, EXPECTED, DecodeError):
        model = ModelProto.FromString(read_bytes(path, MAX_BYTES))
        if not model.HasField("graph"):
            raise ValueError("it contains no graph")
        opset = max((one.version for one in model.opset_import if one.domain in STANDARD_DOMAINS), default=1)
        producer = f"{model.producer_name} {model.producer_version}".strip()
        graph = _graph(path, model.graph, producer, opset)
        limits.check_memory("the graph", sum(prod(array.shape) for array in graph.arrays()))
        return graph


def _graph(path: Path, graph: GraphProto, producer: str, opset: int) -> Graph:
    directory = path.resolve().parent
    if graph.sparse_initializer:
        raise ValueError("sparse initializers are not supported; store them as dense tensors")
    constants = {one.name: _stored(one, one.name, directory) for one in graph.initializer}
    inputs = tuple(_input(one) for one in graph.input if one.name not in constants)
    nodes = tuple(_node(one, directory) for one in graph.node)
    outputs = tuple(one.name for one in graph.output)
    return Graph(path, producer, opset, inputs, outputs, nodes, constants)


def _input(info: ValueInfoProto) -> GraphInput:
    tensor = info.type.tensor_type
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(one.dim_value if one.HasField("dim_value") else None for one in tensor.shape.dim)
    return GraphInput(info.name, shape, _dtype_name(tensor.elem_type))


def _node(node: NodeProto, directory: Path) -> Node:
    operator = node.op_type if node.domain in STANDARD_DOMAINS else f"{node.domain}.{node.op_type}"
    name = node.name or next(iter(node.output), "")
    attributes = {one.name: _attribute(one, name, directory) for one in node.attribute}
    return Node(operator, name, tuple(node.input), tuple(node.output), attributes)


def _attribute(one: AttributeProto, node: str, directory: Path) -> Any:  # noqa: ANN401 - the value of an attribute
    if one.type == one.INT:
        return one.i
    if one.type == one.FLOAT:
        return one.f
    if one.type == one.STRING:
        return one.s.decode("utf-8", "replace")
    if one.type == one.INTS:
        return list(one.ints)
    if one.type == one.FLOATS:
        return list(one.floats)
    if one.type == one.STRINGS:
        return [text.decode("utf-8", "replace") for text in one.strings]
    if one.type == one.TENSOR:
        return _stored(one.t, f"{node}/{one.name}", directory)
    return None


# === Tensors ===


def is_float(dtype: str) -> bool:
    """Return True for the name of a floating-point type."""
    return dtype in ("float16", "float32", "float64", "bfloat16")


def _stored(proto: TensorProto, name: str, directory: Path) -> StoredArray:
    shape = tuple(proto.dims)
    if any(size < 0 for size in shape):
        raise ValueError(f"tensor {name!r} has a negative size, {list(shape)}")
    return StoredArray(name, shape, _dtype_name(proto.data_type), proto, directory)


def _dtype_name(data_type: int) -> str:
    from onnx import TensorProto

    if data_type not in TensorProto.DataType.values():
        raise ValueError(f"unknown data type {data_type}")
    name = TensorProto.DataType.Name(data_type).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _numpy_dtype(name: str) -> np.dtype:
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    if is_float(name) or name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        return np.dtype(name).newbyteorder("<")
    raise ValueError(f"tensors of type {name} are not supported; store them as float32")


def _external_bytes(array: StoredArray) -> bytes:
    """Return the data of a tensor that is stored in another file, which must be in or below the same directory."""
    entries = {one.key: one.value for one in array.proto.external_data}
    where = f"external data of tensor {array.name!r}"
    path = _external_path(where, entries.get("location", ""), array.directory)
    offset = _count(where, "offset", entries.get("offset", "0"))
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{where}: {path.name!r} is not a regular file")
        length = _count(where, "length", entries.get("length", str(max(status.st_size - offset, 0))))
        if offset + length > status.st_size:
            raise ValueError(
                f"{where}: bytes {offset:,} to {offset + length:,} of {path.name!r}, which has {status.st_size:,}"
            )
        file.seek(offset)
        return file.read(length)


def _external_path(where: str, location: str, directory: Path) -> Path:
    relative = PurePosixPath(location.replace("\\", "/"))
    inside = location and not relative.is_absolute() and ".." not in relative.parts and ":" not in location
    path = directory / relative
    if not inside or not path.resolve().is_relative_to(directory):
        raise ValueError(
            f"{where}: {location!r} is not inside the directory of the file; only files in or below it are read"
        )
    if not path.exists():
        raise ValueError(f"{where}: {location!r} does not exist beside the file")
    return path.resolve()


def _count(where: str, key: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ValueError(f"{where}: {key} must be a number of bytes, got {text[:40]!r}")
    return int(text)
