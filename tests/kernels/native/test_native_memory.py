"""Arrays in memory that is reused."""

import sys
import threading

import numpy as np
import pytest
from native_processes import run_python

from deeprnn_keras.kernels.native.memory import ALIGNMENT, SMALLEST_REUSED, empty

pytestmark = pytest.mark.usefixtures("native")

SHAPES = [(), (0, 3), (1,), (5, 7), (3, 5, 2), (128, 127), (128, 128), (3, 64, 257), (1024, 1024), (5, 700, 333)]


@pytest.mark.parametrize("shape", SHAPES)
def test_arrays_are_aligned_and_writable(shape):
    array = empty(*shape)
    assert array.shape == shape and array.dtype == np.float32 and array.flags.c_contiguous and array.flags.writeable
    assert array.ctypes.data % ALIGNMENT == 0 or not array.size
    array[...] = 3
    assert array.sum() == 3 * array.size


def test_the_block_of_a_deleted_array_serves_the_next_one_of_its_size():
    first = empty(300, 1000)
    address = first.ctypes.data
    part = first[2:5]
    del first
    other = empty(300, 1000)
    assert other.ctypes.data != address, "a view still refers to the block"
    del part
    assert empty(300, 1000).ctypes.data == address


def test_live_arrays_do_not_share_memory():
    arrays = [empty(SMALLEST_REUSED // 4 + 1000 * i) for i in range(40)]
    for i, array in enumerate(arrays):
        array.fill(i)
    assert [float(array.mean()) for array in arrays] == list(range(40))


def test_kept_memory_is_limited():
    """More than the library keeps goes back to the system."""
    code = """
import resource
from deeprnn_keras.kernels.native.memory import empty
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
before = resident()
arrays = [empty(16, 1024, 1024) for _ in range(8)]
for array in arrays:
    array.fill(1)
assert resident() - before > 500e6
del arrays, array
assert resident() - before < 300e6, resident() - before
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    run_python(code)


def test_more_than_there_is_is_a_memory_error():
    with pytest.raises(
        MemoryError, match=r"cannot allocate .* MB for a float32 array of shape \(1073741824, 1048576\)"
    ):
        empty(2**30, 2**20)


def test_threads_take_and_give_at_the_same_time():
    failures = []

    def work(value):
        for i in range(200):
            array = empty(64, 300 + i % 7 * 40)
            array.fill(value)
            if not (array == value).all():
                failures.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
