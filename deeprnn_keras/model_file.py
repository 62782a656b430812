"""Check of `.keras` and HDF5 files before they are read.

The HDF5 library may crash or never return if a file is damaged. A child process therefore reads the whole file first.
This module imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.reading import MAX_JSON_BYTES, damage_reported, parse_json, require_regular_file

if TYPE_CHECKING:
    import h5py

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
EXPECTED = "a .keras file"
MAX_SPARSE_BYTES = 64 * 2**20  # a larger member or array must not be much larger than its data in the file
MAX_COMPRESSION = 100
TIMEOUT = 60.0  # seconds, plus one for each 10 MB
MEMORY = 2 * 2**30  # address space of the child process in bytes, in addition to twice the size of the file


def model_file(name: str, path: PathLike) -> Path:
    """Return the path of a `.keras` file: `path`, or `model.keras` in `path` if it is the output directory of a run.

    Args:
        name: Name of the argument, for the error message.
        path: Path of the file or of the directory.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If it is not a `.keras` file.
    """
    path = Path(path).expanduser()
    path = path / "model.keras" if path.is_dir() else path
    if not path.exists():
        raise FileNotFoundError(
            f"{name} {str(path)!r} does not exist; pass a .keras file or the output directory of a run"
        )
    with damage_reported(path, EXPECTED), zipfile.ZipFile(require_regular_file(path)) as archive:
        check_members(archive)
        _check_keras_members(archive)
    return path


def read_model_config(path: Path) -> tuple[Config, int]:
    """Return the configuration in a `.keras` file and the size of its weights in bytes, after checking the whole file.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If a part of the file is damaged, or refers to other files.
    """
    with damage_reported(path, EXPECTED), zipfile.ZipFile(require_regular_file(path)) as archive:
        check_members(archive)
        _check_keras_members(archive)
        config = parse_json(archive.read(CONFIG).decode("utf-8"))
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} does not match its checksum")
        check_hdf5(path, WEIGHTS)
        return config, archive.getinfo(WEIGHTS).file_size


def _check_keras_members(archive: zipfile.ZipFile) -> None:
    missing = {CONFIG, WEIGHTS} - set(archive.namelist())
    if missing:
        raise ValueError(f"{' and '.join(sorted(missing))} missing")
    if archive.getinfo(CONFIG).file_size > MAX_JSON_BYTES:
        raise ValueError(f"{CONFIG} is larger than {MAX_JSON_BYTES:,} bytes")


def check_members(archive: zipfile.ZipFile) -> None:
    """Raise a ValueError if a member of an archive expands too much, or has a path outside the archive."""
    for member in archive.infolist():
        if member.file_size > max(MAX_SPARSE_BYTES, MAX_COMPRESSION * member.compress_size):
            raise ValueError(
                f"{member.filename} expands from {member.compress_size:,} to {member.file_size:,} bytes; at most "
                f"{MAX_COMPRESSION} times as many are supported"
            )
        if ".." in PurePosixPath(member.filename).parts or PurePosixPath(member.filename).is_absolute():
            raise ValueError(f"{member.filename!r} is not a path within the file")


def check_hdf5(path: Path, *members: str) -> None:
    """Raise a ValueError if an HDF5 file is damaged, refers to other files, or is larger than its data.

    Args:
        path: The HDF5 file, or a zip archive that contains it.
        *members: Name of the HDF5 file in the archive; before it, the names of archives in the archive.
    """
    command = [sys.executable, "-m", __name__, str(path), *members]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    timeout = TIMEOUT + path.stat().st_size / 1e7
    prefix = f"{members[-1]}: " if members else ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{prefix}not read within {timeout:.0f} s") from None
    if done.returncode:
        reason = done.stderr.strip().splitlines()
        raise ValueError(f"{prefix}{reason[-1] if reason else f'its reader ended with code {done.returncode}'}")


def member_content(path: PathLike, *members: str) -> Path | io.BytesIO:
    """Return the path of a file, or the content of a member of a zip archive.

    Args:
        path: The file or the archive.
        *members: Names of members, each in the archive before it.
    """
    content: Path | io.BytesIO = Path(path)
    for member in members:
        with zipfile.ZipFile(content) as archive:
            content = io.BytesIO(archive.read(member))
    return content


def _limit_memory(size: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY + 2 * size, MEMORY + 2 * size))


def _read_group(group: h5py.Group) -> None:
    """Read all arrays and attributes below a group.

    Raises:
        ValueError: If it refers to other files, or an array is much larger than its data in the file.
    """
    import h5py

    pending = [group]
    while pending:
        group = pending.pop()
        dict(group.attrs)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name!r} is a link, which is not supported")
            node = group[name]
            if isinstance(node, h5py.Group):
                pending.append(node)
            elif isinstance(node, h5py.Dataset):
                _read_array(node)


def _read_array(array: h5py.Dataset) -> None:
    if array.external or array.is_virtual:
        raise ValueError(f"{array.name!r} is stored in another file")
    if array.nbytes > max(MAX_SPARSE_BYTES, MAX_COMPRESSION * array.id.get_storage_size()):
        raise ValueError(f"{array.name!r} has {array.nbytes:,} bytes, of which the file holds only a fraction")
    dict(array.attrs)
    array[()]


def _main(path: str, *members: str) -> None:
    """Read an HDF5 file, for the parent process."""
    import h5py

    content = member_content(path, *members)
    _limit_memory(content.stat().st_size if isinstance(content, Path) else content.getbuffer().nbytes)
    try:
        with h5py.File(content, "r") as file:
            _read_group(file)
    except Exception as error:  # reported to the parent process, which names the file
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
