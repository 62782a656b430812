"""Philox in NumPy and C compared with `numpy.random.Philox`."""

import ctypes

import numpy as np
import pytest

from deeprnn_keras.generation.random_numbers import checked_seed, philox, uniforms
from deeprnn_keras.kernels.native import library, sampling

WORDS = [(0, 0, 0, 0), (1, 2, 3, 4), (2**64 - 1,) * 4, (2**63, 2**32, 2**32 - 1, 12345678901234567890)]
KEYS = [(0, 0), (1, 0), (2**64 - 1, 2**64 - 2), (0x9E3779B97F4A7C15, 2**33 + 1)]


def numbers_by_numpy(key, counter):
    """NumPy increments the counter before the first block."""
    value = (sum(word << 64 * index for index, word in enumerate(counter)) - 1) % 2**256
    words = [value >> 64 * index & (2**64 - 1) for index in range(4)]
    generator = np.random.Philox(key=np.array(key, "uint64"), counter=np.array(words, "uint64"))
    return generator.random_raw(4)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_numbers_equal_those_of_numpy(key):
    expected = [numbers_by_numpy(key, counter) for counter in WORDS]
    np.testing.assert_array_equal(philox(key, np.array(WORDS, "uint64")), expected)


@pytest.mark.skipif(library.unavailable_reason() is not None, reason="requires the native library")
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_c_equals_numpy(key):
    for counter in WORDS:
        numbers, pointers = np.empty(4, "uint64"), [np.array(words, "uint64") for words in (key, counter)]
        sampling.functions().deeprnn_philox(*[ctypes.c_void_p(one.ctypes.data) for one in (*pointers, numbers)])
        np.testing.assert_array_equal(numbers, philox(key, np.array(counter, "uint64")))


def test_numbers_depend_on_seed_position_row_and_index_only():
    numbers = uniforms(7, np.arange(5), np.arange(3), count=6)
    assert numbers.shape == (5, 3, 6) and numbers.min() >= 0 and numbers.max() < 1
    np.testing.assert_array_equal(uniforms(7, np.array([3, 1]), np.array([2, 0]), 5), numbers[[3, 1]][:, [2, 0], :5])
    assert len(np.unique([numbers, uniforms(8, np.arange(5), np.arange(3), 6)])) == 180
    expected = np.random.Generator(np.random.Philox(key=7, counter=[2**64 - 1] * 4)).random(4)
    np.testing.assert_array_equal(uniforms(7, np.arange(1), np.arange(1), 4)[0, 0], expected)


def test_numbers_are_uniform():
    counts, _ = np.histogram(uniforms(0, np.arange(1000), np.arange(10)), bins=20, range=(0, 1))
    assert np.sum((counts - 500) ** 2 / 500) < 43.8  # chi-square with 19 degrees of freedom, 0.1 percent


def test_no_seed_gives_other_numbers():
    assert checked_seed(None) != checked_seed(None) and checked_seed(5) == 5
