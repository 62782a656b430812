"""Counter-based random numbers: Philox4x64-10 of Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".

A number is a function of the seed, the position in the sequence, and the row of the batch. It does not depend on the
order in which numbers are drawn, on the batch size, or on the machine. `kernels/native/src/random.h` is the same in C.
"""

from __future__ import annotations

import secrets

import numpy as np

from deeprnn_keras import checks

ROUNDS = 10
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
INCREMENTS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
NUMBERS_PER_COUNTER = 4

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_DISCARDED_BITS = np.uint64(11)  # a float64 has 53 of the 64 bits


def philox(key: tuple[int, int], counters: np.ndarray) -> np.ndarray:
    """Return the random numbers of counters.

    Args:
        key: Two integers in [0, 2**64).
        counters: Four words per counter, uint64 (..., 4).

    Returns:
        Four numbers per counter, uint64 (..., 4).
    """
    a, b, c, d = np.moveaxis(np.asarray(counters, np.uint64), -1, 0)
    for number in range(ROUNDS):
        words = [np.uint64((word + number * step) % 2**64) for word, step in zip(key, INCREMENTS, strict=True)]
        high_a, low_a = _product(MULTIPLIERS[0], a)
        high_c, low_c = _product(MULTIPLIERS[1], c)
        a, b, c, d = high_c ^ b ^ words[0], low_c, high_a ^ d ^ words[1], low_a
    return np.stack([a, b, c, d], axis=-1)


def _product(factor: int, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the high and the low 64 bits of factor * a."""
    high, low = np.uint64(factor >> 32), np.uint64(factor & 0xFFFFFFFF)
    a_high, a_low = a >> _HALF, a & _LOW
    middle = high * a_low + (low * a_low >> _HALF)  # at most (2**32 - 1)**2 + 2**32 - 2 < 2**64
    carry = low * a_high + (middle & _LOW)
    with np.errstate(over="ignore"):  # NumPy warns of the overflow of scalars, which the low bits are to have
        return high * a_high + (middle >> _HALF) + (carry >> _HALF), np.uint64(factor) * a


def uniforms(seed: int, positions: np.ndarray, rows: np.ndarray, count: int = 1) -> np.ndarray:
    """Return numbers that are uniform in [0, 1), multiples of 2**-53.

    Number k at position t of row i is word k % 4 of the counter (t, i, k // 4, 0) with the key (seed, 0).

    Args:
        seed: Integer in [0, 2**64).
        positions: Positions t, (T,).
        rows: Rows i, (n,).
        count: Numbers for each position and row.

    Returns:
        float64, (T, n, count).
    """
    blocks = -(-count // NUMBERS_PER_COUNTER)
    counters = np.zeros((len(positions), len(rows), blocks, 4), np.uint64)
    counters[..., 0] = np.asarray(positions, np.uint64)[:, None, None]
    counters[..., 1] = np.asarray(rows, np.uint64)[:, None]
    counters[..., 2] = np.arange(blocks, dtype=np.uint64)
    numbers = philox((seed, 0), counters).reshape(len(positions), len(rows), -1)[..., :count]
    return (numbers >> _DISCARDED_BITS) * 2.0**-53


def checked_seed(seed: object) -> int:
    """Return a seed, or fresh entropy for None.

    Raises:
        ValueError: If it is neither a non-negative integer below 2**62 nor None.
    """
    number = checks.generator_seed("seed", seed)
    return secrets.randbits(62) if number is None else number
