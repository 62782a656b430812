"""The compiled library: where it is, why it may be missing, and its functions, called through ctypes.

The library knows neither Python nor TensorFlow. While one of its functions runs, ctypes releases the interpreter lock.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
from pathlib import Path
from typing import Any

ABI = 5
OK, NO_MEMORY, BAD_ARGUMENT, BAD_ID, BUSY, NOT_FINITE = range(6)

DIRECTORY = Path(__file__).parent
LIBRARY_FILE = DIRECTORY / "libdeeprnn.so"
REASON_FILE = DIRECTORY / "not_built.txt"
"""Written by the installation if the library could not be built: the reason."""

INSTRUCTION_SET_VARIABLE = "DEEPRNN_INSTRUCTION_SET"
"""Environment variable that selects one of the compiled instruction sets: avx512, avx2, or portable."""

ELF_64_BIT_LITTLE_ENDIAN, ELF_HEADER_BYTES = b"\x7fELF\2\1", 64

THREADS_VARIABLE = "OMP_NUM_THREADS"
MAX_THREADS = 64

_POINTER = ctypes.c_void_p


class Sequence(ctypes.Structure):
    """One layer applied to a batch of sequences; see `deeprnn_sequence` in src/deeprnn.h."""

    _fields_ = [
        ("abi", ctypes.c_int64),
        *[(name, ctypes.c_int64) for name in ("T", "n", "d", "h")],
        *[(name, ctypes.c_int32) for name in ("cell", "activation", "recurrent_activation", "store", "reverse")],
        *[(name, ctypes.c_int32) for name in ("x_batch_major", "y_batch_major", "clear_masked", "threads")],
        *[(name, _POINTER) for name in ("x", "W", "U", "b")],
        ("state", _POINTER * 2),
        *[(name, _POINTER) for name in ("mask", "H", "C", "G", "y")],
        ("last", _POINTER * 2),
        ("dy", _POINTER),
        ("d_last", _POINTER * 2),
        *[(name, _POINTER) for name in ("dx", "dW", "dU", "db")],
        ("d_state", _POINTER * 2),
    ]


class NativeLibraryError(RuntimeError):
    """The library is not available, or it refused a call."""


@functools.cache
def unavailable_reason() -> str | None:
    """Return the reason why this process is unable to use the library, or None if it is able to."""
    try:
        load()
    except NativeLibraryError as error:
        return str(error)
    return None


@functools.cache
def load() -> ctypes.CDLL:
    """Return the library.

    Raises:
        NativeLibraryError: If it was not built, is truncated, was built for another machine or another version of this
            package, or lacks the instruction set that DEEPRNN_INSTRUCTION_SET names.
    """
    if not LIBRARY_FILE.exists():
        raise NativeLibraryError(_missing_message())
    if _is_truncated(LIBRARY_FILE):
        raise NativeLibraryError(f"{LIBRARY_FILE.name} is truncated; install the package again")
    try:
        library = ctypes.CDLL(str(LIBRARY_FILE))
        abi = library.deeprnn_abi
    except (OSError, AttributeError) as error:
        raise NativeLibraryError(f"{LIBRARY_FILE.name} does not load on this machine: {error}") from error
    abi.restype = ctypes.c_int64
    if abi() != ABI:
        raise NativeLibraryError(
            f"{LIBRARY_FILE.name} was built for another version of this package (interface {abi()}, needed {ABI}); "
            "install the package again"
        )
    _declare(library)
    _select_instruction_set(library)
    return library


def _missing_message() -> str:
    if REASON_FILE.exists():
        return f"the native library was not built: {REASON_FILE.read_text(encoding='utf-8').strip()}"
    return "the native library was not built; install the package again on a machine with a C compiler"


def _is_truncated(path: Path) -> bool:
    """Return whether an ELF file lacks its end, which would end the process (SIGBUS) instead of raising an error.

    The table of sections is the last part of the file.
    """
    with path.open("rb") as file:
        header = file.read(ELF_HEADER_BYTES)
    if header[:6] != ELF_64_BIT_LITTLE_ENDIAN:
        return False
    if len(header) < ELF_HEADER_BYTES:
        return True
    (start,), (entry_bytes, count) = struct.unpack_from("<Q", header, 0x28), struct.unpack_from("<HH", header, 0x3A)
    return path.stat().st_size < start + entry_bytes * count


def _declare(library: ctypes.CDLL) -> None:
    for name in ("deeprnn_compiler", "deeprnn_instruction_set", "deeprnn_compiled"):
        getattr(library, name).restype = ctypes.c_char_p
    library.deeprnn_use.argtypes = [ctypes.c_char_p]
    for name, count in (("deeprnn_columns", 1), ("deeprnn_chunks", 3)):
        function = getattr(library, name)
        function.argtypes, function.restype = [ctypes.c_int64] * count, ctypes.c_int64
    library.deeprnn_chunks.argtypes = [ctypes.c_int64] * 3 + [ctypes.c_int]
    library.deeprnn_lanes.restype = ctypes.c_int64
    library.deeprnn_push.argtypes = [_POINTER, _POINTER, ctypes.c_int64]
    library.deeprnn_step.argtypes = [_POINTER]
    library.deeprnn_take_memory.argtypes, library.deeprnn_take_memory.restype = [ctypes.c_size_t], _POINTER
    library.deeprnn_give_memory.argtypes, library.deeprnn_give_memory.restype = [_POINTER, ctypes.c_size_t], None
    for name in ("deeprnn_forward", "deeprnn_backward", "deeprnn_convert"):
        getattr(library, name).argtypes = [ctypes.POINTER(Sequence)]
    for name in ("deeprnn_unitwise_forward", "deeprnn_unitwise_backward"):
        getattr(library, name).argtypes = [_POINTER]


def _select_instruction_set(library: ctypes.CDLL) -> None:
    wanted = os.environ.get(INSTRUCTION_SET_VARIABLE)
    if wanted and library.deeprnn_use(wanted.encode()) != OK:
        raise NativeLibraryError(
            f"{INSTRUCTION_SET_VARIABLE} must be one of {', '.join(compiled_sets(library))} and supported by this CPU, "
            f"got {wanted!r}"
        )


def compiled_sets(library: ctypes.CDLL) -> list[str]:
    """Return the names of the compiled instruction sets, best first."""
    names = []
    while name := library.deeprnn_compiled(len(names)):
        names.append(name.decode())
    return names


def threads() -> int:
    """Return the number of threads of a call: the cores that this process may use, or fewer if it was limited.

    Limits are those of TensorFlow (`tf.config.threading`, TF_NUM_INTRAOP_THREADS) and OMP_NUM_THREADS.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [_as_limit(os.environ.get(name)) for name in (THREADS_VARIABLE, "TF_NUM_INTRAOP_THREADS")]
    return min([cores, MAX_THREADS, *[limit for limit in (*limits, _tensorflow_limit()) if limit]])


def _as_limit(text: str | None) -> int:
    """Return a number of threads, 0 for no limit; OMP_NUM_THREADS may list one number per level of nesting."""
    first = (text or "").split(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def _tensorflow_limit() -> int:
    import sys

    tensorflow = sys.modules.get("tensorflow")
    return tensorflow.config.threading.get_intra_op_parallelism_threads() if tensorflow else 0


def run(function: str, sequence: Sequence) -> None:
    """Call `deeprnn_forward`, `deeprnn_backward`, or `deeprnn_convert`.

    Raises:
        MemoryError: If the library cannot allocate its working memory.
        NativeLibraryError: If it refuses the arguments.
    """
    code = getattr(load(), function)(ctypes.byref(sequence))
    if code == NO_MEMORY:
        raise MemoryError(
            f"the native implementation cannot allocate memory for a batch with n={sequence.n}, T={sequence.T}, "
            f"d={sequence.d}, h={sequence.h}; use a smaller batch or shorter sequences"
        )
    if code != OK:
        raise NativeLibraryError(f"{function} refused its arguments")


def describe() -> dict[str, Any]:
    """Return path, compiler, compiled instruction sets, the one in use, and the number of threads."""
    library = load()
    return {
        "path": str(LIBRARY_FILE),
        "compiler": library.deeprnn_compiler().decode(),
        "compiled": compiled_sets(library),
        "instruction_set": library.deeprnn_instruction_set().decode(),
        "threads": threads(),
    }
