"""Arrays in memory that the library reuses from call to call (src/memory.c)."""

from __future__ import annotations

import numpy as np

from deeprnn_keras.kernels.native import library

ALIGNMENT = 64  # bytes; TensorFlow takes arrays over without a copy if they are aligned
SMALLEST_REUSED = 1 << 16  # bytes


def empty(*shape: int) -> np.ndarray:
    """Return an uninitialized float32 array whose memory is aligned to 64 bytes.

    Raises:
        MemoryError: If there is not enough memory.
    """
    count = int(np.prod(shape, dtype=np.int64))
    if 4 * count >= SMALLEST_REUSED:
        return np.asarray(_Memory(shape, 4 * count))
    memory = np.empty(count + ALIGNMENT // 4, np.float32)
    start = -memory.ctypes.data % ALIGNMENT // 4
    return memory[start : start + count].reshape(shape)


class _Memory:
    """Memory of one array; the library gets it back with the last array that refers to it."""

    def __init__(self, shape: tuple[int, ...], num_bytes: int) -> None:
        functions = library.load()
        self._give, self._bytes = functions.deeprnn_give_memory, num_bytes
        self._address = functions.deeprnn_take_memory(num_bytes)
        if self._address is None:
            raise MemoryError(f"cannot allocate {num_bytes / 2**20:,.0f} MB for a float32 array of shape {shape}")
        self.__array_interface__ = {"version": 3, "typestr": "<f4", "shape": shape, "data": (self._address, False)}

    def __del__(self) -> None:
        self._give(self._address, self._bytes)
