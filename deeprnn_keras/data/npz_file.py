"""Arrays of a NumPy archive (.npz), whose sizes are checked before memory is allocated."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from typing import IO

import numpy as np
from numpy.lib import format as npy

from deeprnn_keras._types import PathLike
from deeprnn_keras.reading import DamagedFileError, damage_reported, require_regular_file

MAX_BYTES = 2**29


def read_npz(path: PathLike, names: Sequence[str], max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """Return arrays of a NumPy archive by name.

    Only numbers and strings are supported: objects would have to be unpickled, which runs code.

    Args:
        path: The file.
        names: Names of the arrays. Other arrays of the file are not read.
        max_bytes: Maximum size of all these arrays together.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If it is not a NumPy archive, is damaged, lacks an array, or is too large.
    """
    path = require_regular_file(path)
    with damage_reported(path, "a NumPy archive"), zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        missing = [name for name in names if f"{name}.npy" not in members]
        if missing:
            raise DamagedFileError(path, f"must contain the arrays {', '.join(names)}, but has no {missing[0]}")
        size = sum(members[f"{name}.npy"].file_size for name in names)
        if size > max_bytes:
            raise DamagedFileError(path, f"its arrays have {size:,} bytes, but at most {max_bytes:,} are supported")
        return {name: _read_array(archive, members[f"{name}.npy"]) for name in names}


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        declared = _declared_bytes(file)
        available = member.file_size - file.tell()
        if declared != available:
            raise ValueError(f"{member.filename} declares {declared:,} bytes of numbers, but has {available:,}")
        file.seek(0)
        return npy.read_array(file, allow_pickle=False)


def _declared_bytes(file: IO[bytes]) -> int:
    """Return the size of the array that the header states, and position the file after the header."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the .npy format is not supported")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("arrays of Python objects are not supported")
    return math.prod(shape) * dtype.itemsize
