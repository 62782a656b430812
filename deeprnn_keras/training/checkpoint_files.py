"""Checkpoints as files: each whole or not there, sealed by a hash, the last two kept."""

import hashlib
import json
import os
import re
import warnings
from pathlib import Path

import numpy as np

KEPT = 2
NAME = re.compile(r"updates-(\d{9})\.safetensors")
FORMAT = 1


class Damaged(ValueError):
    """A file that is no whole checkpoint."""


def write(directory, updates, arrays, plain):
    """Writes a checkpoint and removes all but the last two; returns its path.

    Raises:
        OSError: if it cannot be written, naming what is kept.
    """
    directory = Path(directory)
    path = directory / f"updates-{updates:09d}.safetensors"
    beside = directory / f".{path.name}.part"
    try:
        with beside.open("wb") as file:
            file.write(_packed(arrays, plain))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _sync_directory(directory)
    except OSError as error:
        beside.unlink(missing_ok=True)
        kept = newest_first(directory)
        last = f"the checkpoint of update {_updates(kept[0]):,} is kept" if kept else "there is no earlier one"
        raise OSError(
            error.errno,
            f"could not write the checkpoint of update {updates:,} to {str(directory)!r}: {error.strerror}; {last}. "
            "Make room, or let the directory be written to, and resume",
        ) from error
    for old in newest_first(directory)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def read_newest(directory):
    """-> (path, arrays, plain values) of the newest whole checkpoint, or None where there is none.

    A damaged one is passed over, with a warning that says so.

    Raises:
        ValueError: if there are checkpoints and all are damaged.
    """
    for left_over in Path(directory).glob(".updates-*.part"):
        left_over.unlink(missing_ok=True)
    paths, damaged = newest_first(directory), []
    for path in paths:
        try:
            arrays, plain = _read(path)
        except Damaged as error:
            damaged.append(f"{path.name} ({error})")
            continue
        if damaged:
            warnings.warn(f"damaged: {', '.join(damaged)}; going on from {path.name} instead", stacklevel=2)
        return path, arrays, plain
    if damaged:
        raise ValueError(
            f"all checkpoints in {str(directory)!r} are damaged: {', '.join(damaged)}; begin in a new directory"
        )
    return None


def newest_first(directory):
    """Paths of the checkpoints."""
    return sorted((path for path in Path(directory).glob("updates-*") if NAME.fullmatch(path.name)), reverse=True)


def _updates(path):
    return int(NAME.fullmatch(path.name)[1])


def _packed(arrays, plain):
    from safetensors.numpy import save

    kinds = {name: array.dtype.name for name, array in arrays.items() if array.dtype.kind == "V"}  # bfloat16
    stored = {
        name: np.asarray(array.view("uint16") if name in kinds else array, order="C") for name, array in arrays.items()
    }
    text = json.dumps({"format": FORMAT, "kinds": kinds, "plain": plain})
    return save(stored, {"deeprnn_keras": text, "sha256": _seal(stored, text)})


def _read(path):
    import ml_dtypes
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
    except (SafetensorError, OSError, ValueError) as error:
        raise Damaged(str(error)) from error
    text = about.get("deeprnn_keras", "")
    if about.get("sha256") != _seal(stored, text):
        raise Damaged("its content does not have the hash it was written with")
    head = json.loads(text)
    if head["format"] != FORMAT:
        raise Damaged(f"format {head['format']}, this version reads {FORMAT}")
    kinds = {name: getattr(ml_dtypes, kind) for name, kind in head["kinds"].items()}
    return {name: array.view(kinds[name]) if name in kinds else array for name, array in stored.items()}, head["plain"]


def _seal(arrays, text):
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def _sync_directory(directory):
    if os.name == "posix":  # so that the new name outlives a power cut
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
