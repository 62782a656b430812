"""Cell arrays of a MATLAB file, read by scipy in a child process.

A damaged file can crash scipy's reader together with its process, or make it allocate unlimited memory. The child
process has a memory limit and writes a NumPy archive to its standard output. A crash of the child process is reported
as a `DamagedFileError`.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deeprnn_keras import extras
from deeprnn_keras._types import PathLike
from deeprnn_keras.reading import DamagedFileError, require_regular_file

MEMORY_LIMIT = 2**30  # bytes of address space of the child process
MAX_BYTES = 2**28  # maximum size of all arrays as float32
TIMEOUT = 120.0  # seconds


def read_cell_arrays(path: PathLike, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """Return the numeric arrays in cell arrays of a MATLAB file, version 5 to 7.2, by the name of the cell array.

    The arrays are float32, and the cells are in column-major order.

    Args:
        path: The file.
        names: Names of the cell arrays.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If the file is damaged, or does not contain these cell arrays with real numbers.
        ImportError: If scipy is not installed.
    """
    extras.package_directory("scipy", "data", "Reading MATLAB files")
    path = require_regular_file(path)
    command = [sys.executable, "-m", __name__, str(path), *names]
    # each thread of OpenBLAS reserves address space, which is limited
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    try:
        result = subprocess.run(command, capture_output=True, timeout=TIMEOUT, env=environment, check=False)
    except subprocess.TimeoutExpired:
        raise DamagedFileError(path, f"not a MATLAB file, or damaged: reading took more than {TIMEOUT:.0f} s") from None
    if result.returncode:
        raise DamagedFileError(
            path, f"not a MATLAB file with cell arrays {', '.join(names)}: {_failure_reason(result)}"
        )
    with np.load(io.BytesIO(result.stdout)) as archive:
        return {name: [archive[f"{name}/{number}"] for number in range(archive[name])] for name in names}


def _failure_reason(result: subprocess.CompletedProcess[bytes]) -> str:
    lines = result.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else f"the reader process ended with exit code {result.returncode}"


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, limit in ((resource.RLIMIT_AS, MEMORY_LIMIT), (resource.RLIMIT_CORE, 0)):  # a crash leaves no core file
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _arrays_of_cells(stored: np.ndarray, name: str) -> list[np.ndarray]:
    if stored.dtype != object:
        raise ValueError(f"{name} is an array, not a cell array")
    arrays = [np.asarray(cell) for cell in stored.ravel(order="F")]
    for array in arrays:
        if array.dtype.kind not in "buif":
            raise ValueError(
                f"{name} contains a cell of type {array.dtype}, which is not supported; cells must contain real numbers"
            )
    return [array.astype("float32") for array in arrays]


def _main(path: str, *names: str) -> None:
    """Write the cell arrays to the standard output, for the parent process."""
    _limit_memory()
    import scipy.io

    archive: dict[str, np.ndarray] = {}
    try:
        stored = scipy.io.loadmat(Path(path), variable_names=names)
        for name in names:
            if name not in stored:
                raise ValueError(f"no variable {name}")
            arrays = _arrays_of_cells(stored[name], name)
            archive |= {name: np.array(len(arrays))}
            archive |= {f"{name}/{number}": array for number, array in enumerate(arrays)}
        size = sum(array.nbytes for array in archive.values())
        if size > MAX_BYTES:
            raise ValueError(f"{size:,} bytes of arrays, but at most {MAX_BYTES:,} are supported")
    except Exception as error:  # reported to the parent process, which adds the path of the file
        sys.exit(f"{type(error).__name__}: {error}")
    np.savez(sys.stdout.buffer, **archive)  # pyright: ignore[reportArgumentType]  # keywords are names of arrays


if __name__ == "__main__":
    _main(*sys.argv[1:])
