"""The file of a `Program`: safetensors with the weights; the list of operations is JSON in its metadata.

The file contains no code. What it says is checked before a program is made of it, since it may come from strangers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.program.operations import OPERATIONS, Input, Operation
from deeprnn_keras.reading import build_dataclass, damage_reported, parse_json, parse_safetensors, read_bytes
from deeprnn_keras.writing import save_bytes

if TYPE_CHECKING:
    from deeprnn_keras.program.program import Program

ProgramType = TypeVar("ProgramType", bound="Program")

KEY = "deeprnn_keras.program"
VERSION = 1
EXPECTED = "the file of a program"


def metadata(program: Program) -> dict[str, str]:
    """Return the safetensors metadata of the file of a program, whose tensors are the weights of the program.

    >>> import numpy as np
    >>> from deeprnn_keras.program import Program, metadata
    >>> from deeprnn_keras.program.operations import Dense, Input
    >>> metadata(Program("sum", (Input("x", 2),), (Dense("y", ("x",), 1, "w"),), ("y",), {"w": np.ones((2, 1), "f")}))
    {'deeprnn_keras.program': '{"version":1,"name":"sum",...}'}
    """
    value = {
        "version": VERSION,
        "name": program.name,
        "inputs": [asdict(one) for one in program.inputs],
        "operations": [{"operation": type(one).__name__, **_without_defaults(one)} for one in program.operations],
        "outputs": list(program.outputs),
        "attributes": dict(program.attributes),
        "batch_size": program.batch_size,
    }
    return {KEY: json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))}


def _without_defaults(operation: Operation) -> Config:
    values = asdict(operation)
    defaults = {name: one.default for name, one in type(operation).__dataclass_fields__.items()}
    return {name: value for name, value in values.items() if value != defaults[name]}


def save(program: Program, path: PathLike) -> None:
    """Write a program to a file in one atomic step."""
    from safetensors.numpy import save as serialize

    arrays = {name: np.ascontiguousarray(array) for name, array in program.weights.items()}
    save_bytes(serialize(arrays, metadata(program)), path)


def load(program_type: type[ProgramType], path: PathLike) -> ProgramType:
    """Return the program in a file; see `Program.load`."""
    with damage_reported(path, EXPECTED):
        arrays, stored = parse_safetensors(read_bytes(path))
        if KEY not in stored:
            raise ValueError("it contains weights, but no list of operations")
        return from_json(program_type, parse_json(stored[KEY]), arrays)


def from_json(program_type: type[ProgramType], value: Config, arrays: Mapping[str, np.ndarray]) -> ProgramType:
    """Return the program of a JSON value and arrays.

    Raises:
        ValueError: If they do not describe one.
    """
    if value.pop("version", None) != VERSION:
        raise ValueError(f"it has another version than {VERSION}; update deeprnn-keras")
    inputs = tuple(build_dataclass(Input, one) for one in value.pop("inputs"))
    operations = tuple(_operation(one) for one in value.pop("operations"))
    names = {name for operation in operations for name in operation.weight_names}
    weights = {name: _float32(name, array) for name, array in arrays.items() if name in names}
    return build_dataclass(program_type, value, inputs=inputs, operations=operations, weights=weights)


def _operation(value: Any) -> Operation:  # noqa: ANN401 - JSON
    name = value.pop("operation", None)
    if name not in OPERATIONS:
        raise ValueError(f"unknown operation {name!r}; update deeprnn-keras")
    return build_dataclass(OPERATIONS[name], value)


def _float32(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ValueError(f"weight {name!r} must contain finite floating-point numbers, got {array.dtype}")
    return array.astype(np.float32)
