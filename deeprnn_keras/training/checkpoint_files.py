"""Checkpoint files, written atomically and verified by a SHA-256 hash; the last two are kept."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.reading import DamagedFileError, damage_reported, require_regular_file

MAX_TO_KEEP = 2
FILE_NAME = re.compile(r"updates-(\d{9})\.safetensors")
FORMAT = 3


class Checkpoint(NamedTuple):
    """Contents of a checkpoint file.

    Attributes:
        path: Path of the file.
        arrays: Arrays by name.
        values: JSON values.
    """

    path: Path
    arrays: dict[str, np.ndarray]
    values: Config


def write(directory: PathLike, updates: int, arrays: Mapping[str, np.ndarray], values: Config) -> Path:
    """Write a checkpoint, delete all but the last two, and return its path.

    Args:
        directory: An existing directory.
        updates: Number of updates so far, part of the file name.
        arrays: Arrays by name.
        values: JSON values.

    Raises:
        OSError: If writing the file fails. Earlier checkpoints are kept.
    """
    directory = Path(directory)
    path = directory / f"updates-{updates:09d}.safetensors"
    temporary_path = directory / f".{path.name}.part"
    try:
        with temporary_path.open("wb") as file:
            file.write(_serialize(arrays, values))
            file.flush()
            os.fsync(file.fileno())
        temporary_path.replace(path)
        _sync_directory(directory)
    except OSError as error:
        temporary_path.unlink(missing_ok=True)
        earlier = newest_first(directory)
        state = f"the checkpoint of update {_updates(earlier[0]):,} is kept" if earlier else "there is no earlier one"
        raise OSError(
            error.errno,
            f"could not write the checkpoint of update {updates:,} to {str(directory)!r}: {error.strerror}; {state}. "
            "Free disk space or make the directory writable, then resume",
        ) from error
    for old in newest_first(directory)[MAX_TO_KEEP:]:
        old.unlink(missing_ok=True)
    return path


def read_newest(directory: PathLike) -> Checkpoint | None:
    """Return the newest undamaged checkpoint, or None if the directory holds no checkpoints.

    A warning names the damaged checkpoints that are skipped.

    Raises:
        ValueError: If all checkpoints are damaged.
    """
    for leftover in Path(directory).glob(".updates-*.part"):
        leftover.unlink(missing_ok=True)
    damaged: list[str] = []
    for path in newest_first(directory):
        try:
            checkpoint = _read(path)
        except DamagedFileError as error:
            damaged.append(str(error))
            continue
        if damaged:
            warnings.warn(f"damaged checkpoint: {', '.join(damaged)}; resuming from {path.name} instead", stacklevel=2)
        return checkpoint
    if damaged:
        raise ValueError(
            f"all checkpoints in {str(directory)!r} are damaged: {', '.join(damaged)}; start a run in a new directory"
        )
    return None


def newest_first(directory: PathLike) -> list[Path]:
    """Return the paths of all checkpoints, newest first."""
    return sorted((path for path in Path(directory).glob("updates-*") if FILE_NAME.fullmatch(path.name)), reverse=True)


def _updates(path: Path) -> int:
    match = FILE_NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _serialize(arrays: Mapping[str, np.ndarray], values: Config) -> bytes:
    from safetensors.numpy import save

    # safetensors.numpy does not support the dtypes of ml_dtypes, for example bfloat16
    dtypes = {name: array.dtype.name for name, array in arrays.items() if array.dtype.kind == "V"}
    stored = {
        name: np.asarray(array.view("uint16") if name in dtypes else array, order="C") for name, array in arrays.items()
    }
    text = json.dumps({"format": FORMAT, "dtypes": dtypes, "values": values})
    return save(stored, {"deeprnn_keras": text, "sha256": _hash(stored, text)})


def _read(path: Path) -> Checkpoint:
    from safetensors import safe_open

    require_regular_file(path)
    with damage_reported(path, "a checkpoint"):
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
        text = metadata.get("deeprnn_keras", "")
        if metadata.get("sha256") != _hash(stored, text):
            raise ValueError("its content does not match its SHA-256 hash")
        header = json.loads(text)
        if header["format"] != FORMAT:
            raise ValueError(f"it has format {header['format']!r}; this version reads format {FORMAT}")
        dtypes = {name: _dtype(dtype) for name, dtype in header["dtypes"].items()}
        arrays = {name: array.view(dtypes[name]) if name in dtypes else array for name, array in stored.items()}
        return Checkpoint(path, arrays, header["values"])


def _dtype(name: str) -> np.dtype:
    """Return a dtype of ml_dtypes."""
    import ml_dtypes

    scalar = getattr(ml_dtypes, name)
    if not issubclass(scalar, np.generic):
        raise ValueError(f"unknown dtype {name!r}")
    return np.dtype(scalar)


def _hash(arrays: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def _sync_directory(directory: Path) -> None:
    """Make the rename durable, so that it survives a power failure."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
