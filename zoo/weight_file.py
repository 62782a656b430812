"""Weights of a model in a safetensors file with a known SHA-256. Loading runs no code and loads all weights or none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras._types import PathLike, Shape
from deeprnn_keras.training.files import save_bytes

if TYPE_CHECKING:
    import keras


def check_finite(model: keras.Model) -> None:
    """Raise a ValueError if a weight of a model is NaN or infinite."""
    for weight in model.weights:
        if not np.isfinite(weight.numpy().astype("float64")).all():
            raise ValueError(
                f"model {model.name!r} is not saved: its weight {weight.path} is not finite; load weights of an "
                "earlier epoch or train it again"
            )


def write_weights(model: keras.Model, path: PathLike, dtype: str = "float32") -> str:
    """Write the weights of a model, by path, to a file in one atomic step, and return the SHA-256 of the file.

    Args:
        model: Keras model.
        path: Output file, .safetensors.
        dtype: Data type of the stored weights. "float32" is exact; "float16" halves the size of the file and rounds
            the weights to 11 significant bits.

    Raises:
        ValueError: If two weights have the same path.
    """
    from safetensors.numpy import save

    arrays = {weight.path: np.ascontiguousarray(weight.numpy().astype(dtype)) for weight in model.weights}
    if len(arrays) != len(model.weights):
        raise ValueError(f"model {model.name!r} has weights with equal paths; give its layers different names")
    data = save(arrays)
    save_bytes(data, path)
    return hashlib.sha256(data).hexdigest()


def read_weights(model: keras.Model, path: PathLike, sha256: str) -> None:
    """Load the weights of a file into a model, all or none.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the SHA-256 of the file is not `sha256`, or if the weights belong to another model.
    """
    from safetensors.numpy import load

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{str(path)!r} is missing")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise ValueError(f"{str(path)!r} is damaged: expected SHA-256 {sha256}, got {digest}; no weights were loaded")
    arrays = load(data)
    expected = {weight.path: tuple(weight.shape) for weight in model.weights}
    stored = {name: array.shape for name, array in arrays.items()}
    if stored != expected:
        raise ValueError(f"{str(path)!r} holds the weights of another model: {_first_difference(stored, expected)}")
    model.set_weights([arrays[weight.path].astype("float32") for weight in model.weights])


def _first_difference(stored: Mapping[str, Shape], expected: Mapping[str, Shape]) -> str:
    for name in sorted(stored.keys() | expected.keys()):
        if stored.get(name) != expected.get(name):
            return f"expected {name} of shape {expected.get(name, 'none')}, got {stored.get(name, 'none')}"
    return "none"
