"""Weights of a model in a safetensors file with a known SHA-256. Loading runs no code and loads all weights or none.

The file may also be the file of the model's `Program`: the weights have the same names, and the metadata lists the
operations. Arrays that only the program reads are listed in the metadata, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras._types import PathLike, Shape
from deeprnn_keras.program import metadata
from deeprnn_keras.reading import DamagedFileError, damage_reported, parse_json, parse_safetensors, read_bytes
from deeprnn_keras.writing import save_bytes

if TYPE_CHECKING:
    import keras

    from deeprnn_keras import Program

EXPECTED = "a safetensors file"
ONLY_IN_PROGRAM = "deeprnn_keras.only_in_program"
"""Key of the metadata: the names of arrays that are not weights of the model, as a JSON list."""


def check_finite(model: keras.Model) -> None:
    """Raise a ValueError if a weight of a model is NaN or infinite."""
    for weight in model.weights:
        if not np.isfinite(weight.numpy().astype("float64")).all():
            raise ValueError(
                f"model {model.name!r} is not saved: its weight {weight.path} is not finite; load weights of an "
                "earlier epoch or train it again"
            )


def write_weights(model: keras.Model, path: PathLike, dtype: str | None = None, program: Program | None = None) -> str:
    """Write the weights of a model, by path, to a file in one atomic step, and return the SHA-256 of the file.

    Args:
        model: Keras model.
        path: Output file, .safetensors.
        dtype: Data type of the stored weights. None stores every weight exactly. "float16" halves the size of the file
            and rounds the weights to 11 significant bits.
        program: The program of the model, so that `Program.load` reads the file, too.

    Raises:
        ValueError: If two weights have the same path.
    """
    from safetensors.numpy import save

    arrays = {
        weight.path: np.ascontiguousarray(weight.numpy().astype(dtype or _stored_dtype(weight)))
        for weight in model.weights
    }
    if len(arrays) != len(model.weights):
        raise ValueError(f"model {model.name!r} has weights with equal paths; give its layers different names")
    described = {}
    if program is not None:
        others = {name: array for name, array in program.weights.items() if name not in arrays}
        arrays |= {name: np.ascontiguousarray(array) for name, array in others.items()}
        described = {**metadata(program), ONLY_IN_PROGRAM: json.dumps(sorted(others))}
    data = save(arrays, described)
    save_bytes(data, path)
    return hashlib.sha256(data).hexdigest()


def _stored_dtype(weight: keras.Variable) -> str:
    """Return the data type that holds the values of a weight exactly: float32 for 16-bit floats, else its own."""
    dtype = str(weight.dtype)
    return "float32" if dtype in ("float16", "bfloat16") else dtype


def read_arrays(path: PathLike, sha256: str) -> dict[str, np.ndarray]:
    """Return the weights in a file by path, without arrays that only the program of the model reads.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If the SHA-256 of the file is not `sha256`, or it is not a safetensors file.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{str(path)!r} is missing")
    data = read_bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise DamagedFileError(path, f"damaged: expected SHA-256 {sha256}, got {digest}; no weights were loaded")
    with damage_reported(path, EXPECTED):
        arrays, described = parse_safetensors(data)
        others = parse_json(described.get(ONLY_IN_PROGRAM, "[]"), list)
        return {name: array for name, array in arrays.items() if name not in others}


def set_weights(model: keras.Model, arrays: Mapping[str, np.ndarray], path: PathLike) -> None:
    """Set the weights of a model, all or none.

    Args:
        model: The model.
        arrays: Result of `read_arrays`.
        path: The file that it was read from.

    Raises:
        DamagedFileError: If the arrays belong to another model, or have a higher precision than its weights.
    """
    expected = {weight.path: tuple(weight.shape) for weight in model.weights}
    stored = {name: array.shape for name, array in arrays.items()}
    if stored != expected:
        raise DamagedFileError(path, f"holds the weights of another model: {_first_difference(stored, expected)}")
    for weight in model.weights:
        dtype, stored_dtype = _stored_dtype(weight), arrays[weight.path].dtype
        if not np.can_cast(stored_dtype, dtype):
            raise DamagedFileError(
                path,
                f"{weight.path} is stored as {stored_dtype}, which {weight.dtype} weights do not represent exactly; "
                "create the model with the dtype policy that it was saved with",
            )
    model.set_weights([arrays[weight.path].astype(_stored_dtype(weight)) for weight in model.weights])


def _first_difference(stored: Mapping[str, Shape], expected: Mapping[str, Shape]) -> str:
    for name in sorted(stored.keys() | expected.keys()):
        if stored.get(name) != expected.get(name):
            return f"expected {name} of shape {expected.get(name, 'none')}, got {stored.get(name, 'none')}"
    return "none"
