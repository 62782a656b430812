"""`Arrays`: the named arrays of a source. Shapes are known at once; values are read one array at a time."""

from __future__ import annotations

import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from typing_extensions import override

from deeprnn_keras.interop.report import Shape
from deeprnn_keras.reading import damage_reported

FLOATS = ("float16", "bfloat16", "float32", "float64")
SAFETENSORS_DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
EXPECTED = "a safetensors file"


@dataclass(frozen=True)
class ArrayInfo:
    """Shape and data type of an array.

    Attributes:
        shape: Its shape.
        dtype: Name of its data type: "float32", "bfloat16".
    """

    shape: Shape
    dtype: str


class Arrays(ABC):
    """Named arrays of a source.

    Attributes:
        infos: Shape and data type of each array by its name, in the order of the source.
        aliases: Second names of arrays.
    """

    infos: Mapping[str, ArrayInfo]
    aliases: Mapping[str, str]

    @abstractmethod
    def read_raw(self, name: str) -> np.ndarray:
        """Return an array as it is stored."""

    def find(self, name: str) -> ArrayInfo | None:
        """Return the shape and data type of an array, or None if the source does not contain it."""
        return self.infos.get(self.aliases.get(name, name))

    def info(self, name: str) -> ArrayInfo:
        """Return the shape and data type of an array that the source contains."""
        return self.infos[self.aliases.get(name, name)]

    def read(self, name: str) -> np.ndarray:
        """Return a floating-point array as float32."""
        return np.asarray(self.read_raw(self.aliases.get(name, name))).astype(np.float32)

    def equal(self, first: str, second: str) -> bool:
        """Return whether two arrays have the same shape, data type, and values."""
        first, second = self.aliases.get(first, first), self.aliases.get(second, second)
        if self.infos[first] != self.infos[second]:
            return False
        return first == second or np.array_equal(self.read_raw(first), self.read_raw(second))


class MemoryArrays(Arrays):
    """Arrays of a mapping: NumPy arrays, PyTorch tensors, or other objects with a shape and a dtype.

    Args:
        values: The arrays by name.

    Raises:
        ValueError: If a name is not a string, or a value is not an array.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = {name: value for name, value in values.items() if not _is_metadata(name)}
        self.infos = {name: _info(name, value) for name, value in self.values.items()}
        self.aliases = {}

    @override
    def read_raw(self, name: str) -> np.ndarray:
        value = self.values[name]
        if not hasattr(value, "detach"):
            return np.asarray(value)
        try:  # a PyTorch tensor, whose bfloat16 NumPy does not have
            value = value.detach().cpu()
            return (value.float() if self.infos[name].dtype == "bfloat16" else value).numpy()
        except (NotImplementedError, RuntimeError, TypeError) as error:  # without values, sparse, or quantized
            raise ValueError(f"source[{name!r}] has no dense values: {str(error).splitlines()[0]}") from error


def _is_metadata(name: object) -> bool:
    # PyTorch's modules may store arbitrary objects under this name, which are not weights
    return isinstance(name, str) and name.rpartition(".")[2] == "_extra_state"


def _info(name: object, value: Any) -> ArrayInfo:  # noqa: ANN401 - arrays of several libraries
    if not isinstance(name, str):
        raise ValueError(f"the keys of source must be names of arrays, got {name!r}")
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None or None in tuple(shape):  # of a symbolic tensor
        raise ValueError(f"source[{name!r}] must be an array, got {type(value).__name__}")
    return ArrayInfo(tuple(int(size) for size in shape), getattr(dtype, "name", None) or str(dtype).rpartition(".")[2])


class SafetensorsArrays(Arrays):
    """Arrays of a safetensors file, including bfloat16.

    Args:
        path: The file.

    Attributes:
        metadata: The texts in the header.

    Raises:
        DamagedFileError: If the header is damaged, or refers to bytes outside the file.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import safe_open

        self.path = path
        with damage_reported(path, EXPECTED):
            with safe_open(path, framework="numpy"):  # checks the header, the offsets, and the sizes
                pass
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(length))
        self._begin = 8 + length
        self.metadata: dict[str, str] = header.pop("__metadata__", None) or {}
        self._header = header
        self.infos = {name: ArrayInfo(tuple(one["shape"]), _dtype_name(one["dtype"])) for name, one in header.items()}
        # safetensors' writer for PyTorch modules stores an array with two names once
        self.aliases = {name: kept for name, kept in self.metadata.items() if kept in header and name not in header}

    @override
    def read_raw(self, name: str) -> np.ndarray:
        entry = self._header[name]
        if entry["dtype"] not in SAFETENSORS_DTYPES:
            raise ValueError(f"{self.path}: entry {name!r} has dtype {entry['dtype']}, which is not supported")
        first, _ = entry["data_offsets"]
        dtype, count = np.dtype(SAFETENSORS_DTYPES[entry["dtype"]]), prod(entry["shape"])
        with damage_reported(self.path, EXPECTED):
            array = np.fromfile(self.path, dtype.newbyteorder("<"), count, offset=self._begin + first)
            return array.reshape(entry["shape"])


def _dtype_name(code: str) -> str:
    return np.dtype(SAFETENSORS_DTYPES[code]).name if code in SAFETENSORS_DTYPES else code
