"""Weights of a model in one safetensors file with a known SHA-256; loading runs no code and is all or nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras.training.files import save_bytes

if TYPE_CHECKING:
    import keras


def write_weights(model: keras.Model, path: Path, dtype: str = "float32") -> str:
    """Write the weights of a model under their paths, atomically, and return the SHA-256 of the file.

    Args:
        model: A Keras model.
        path: A .safetensors file.
        dtype: "float16" halves the file and rounds to 11 bits; "float32" keeps weights exact.

    Raises:
        ValueError: If two weights have the same path.
    """
    from safetensors.numpy import save

    arrays = {weight.path: np.ascontiguousarray(weight.numpy().astype(dtype)) for weight in model.weights}
    if len(arrays) != len(model.weights):
        raise ValueError(f"model {model.name!r} has two weights of one path; give its layers different names")
    data = save(arrays)
    save_bytes(data, path)
    return hashlib.sha256(data).hexdigest()


def read_weights(model: keras.Model, path: Path, sha256: str) -> None:
    """Load the weights of a file into a model, all of them or none.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file has another SHA-256, or holds another model's weights.
    """
    from safetensors.numpy import load

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{str(path)!r} is missing")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise ValueError(
            f"{str(path)!r} is damaged: its SHA-256 is {digest}, and {sha256} was written; nothing of it was loaded"
        )
    arrays = load(data)
    wanted = {weight.path: tuple(weight.shape) for weight in model.weights}
    found = {name: array.shape for name, array in arrays.items()}
    if found != wanted:
        raise ValueError(f"{str(path)!r} holds the weights of another model: {_first_difference(found, wanted)}")
    model.set_weights([arrays[weight.path].astype("float32") for weight in model.weights])


def _first_difference(found: dict[str, tuple], wanted: dict[str, tuple]) -> str:
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            return f"{name} has shape {found.get(name, 'none')} there and {wanted.get(name, 'none')} in the model"
    return "none"
