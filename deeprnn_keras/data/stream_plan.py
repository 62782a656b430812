"""Plans that split a stream into parallel substreams and each substream into chunks, for truncated backpropagation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn, TypeAlias

import numpy as np

# Merity et al. 2017: standard deviation of the lengths, fraction of batches with mean T / 2, and minimum length
LENGTH_STD, HALF_LENGTH_FRACTION, MIN_LENGTH = 5.0, 0.05, 5

StreamPlan: TypeAlias = Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Function from the index of a pass to (offsets (steps, n), T (steps,), reset_mask (steps, n)), one row per batch."""


def fixed_length_plan(sizes: Sequence[int], batch_size: int, length: int, lookahead: int = 0) -> StreamPlan:
    """Return the plan of batches of T steps, which is the same in every pass.

    A single piece is cut into n parallel streams of equal size; less than n steps at its end are dropped. The last
    batch has fewer steps if T does not divide the size of a stream. The same applies to several pieces of equal size
    whose number is a multiple of n. If the sizes of several pieces differ, the remainder of each piece is dropped,
    because all rows of a batch have the same number of steps, and rows start new pieces with a new batch.

    Args:
        sizes: Number of steps in each piece, `lookahead` excluded.
        batch_size: Number of parallel streams, n.
        length: Number of steps per batch, T.
        lookahead: 1 if each piece has one more step, which serves as a target only.

    Raises:
        ValueError: If there are too few steps for one batch.
    """
    chunks = [size // length for size in sizes]
    if not sum(chunks) // batch_size:
        _raise_too_short(sizes, batch_size, length, lookahead)
    firsts = np.cumsum([0, *(size + lookahead for size in sizes)])[:-1]
    if len(sizes) == 1:
        size = sizes[0] // batch_size
        plan = _equal_streams(size * np.arange(batch_size), batch_size, _window_lengths(size, length))
    elif len(set(sizes)) == 1 and len(sizes) % batch_size == 0:
        plan = _equal_streams(firsts, batch_size, _window_lengths(sizes[0], length))
    else:
        plan = _unequal_pieces(firsts, chunks, batch_size, length)
    return lambda pass_number: plan


def _window_lengths(size: int, length: int) -> np.ndarray:
    """Return the numbers of steps T, ..., T, and of the remainder, which add up to `size`."""
    lengths = np.full(-(-size // length), length, "int64")
    lengths[-1] = size - length * (len(lengths) - 1)
    return lengths


def _equal_streams(
    firsts: np.ndarray, batch_size: int, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the columns of the plan of pieces of equal size, of which each row reads the same number.

    Args:
        firsts: First step of each piece.
        batch_size: Number of parallel streams, n.
        lengths: Number of steps of each batch in a piece.
    """
    pieces = firsts.reshape(batch_size, -1).T[:, None]  # (pieces per row, 1, n)
    starts = np.cumsum(lengths) - lengths
    offsets = (pieces + starts[:, None]).reshape(-1, batch_size)
    reset_mask = np.tile((starts == 0)[:, None], (len(pieces), batch_size))
    return offsets.astype("int64"), np.tile(lengths, len(pieces)), reset_mask


def _unequal_pieces(
    firsts: np.ndarray, chunks: Sequence[int], batch_size: int, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the columns of the plan of pieces of different sizes, each cut into chunks of T steps."""
    steps = sum(chunks) // batch_size
    offsets = [first + length * np.arange(count) for first, count in zip(firsts, chunks, strict=True)]
    piece_starts = [np.arange(count) == 0 for count in chunks]
    used = batch_size * steps
    offset_table = np.concatenate(offsets)[:used].reshape(batch_size, steps).T.astype("int64")
    reset_mask = np.concatenate(piece_starts)[:used].reshape(batch_size, steps).T.copy()
    reset_mask[0] = True
    return offset_table, np.full(steps, length, "int64"), reset_mask


def random_length_plan(size: int, batch_size: int, length: int, seed: int) -> StreamPlan:
    """Return the plan of batches of random lengths. The lengths differ from pass to pass, but not their number.

    Args:
        size: Number of steps of the stream.
        batch_size: Number of parallel streams, n.
        length: T. The lengths have mean T, or with probability 0.05 mean T / 2.
        seed: Random seed of the lengths.

    Raises:
        ValueError: If there are too few steps for one batch.
    """
    stream_size = size // batch_size
    if stream_size < length:
        _raise_too_short([size], batch_size, length, 1)
    steps = max(1, round(stream_size / ((1 - HALF_LENGTH_FRACTION) * length + HALF_LENGTH_FRACTION * length / 2)))

    def plan(pass_number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        lengths = random_lengths(stream_size, steps, length, np.random.default_rng([seed, pass_number]))
        return _equal_streams(stream_size * np.arange(batch_size), batch_size, lengths)

    return plan


def random_lengths(total: int, steps: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Return `steps` random lengths with sum `total`: N(T, 5²), or with probability 0.05 N(T / 2, 5²), at least 5."""
    mean = np.where(rng.random(steps) < HALF_LENGTH_FRACTION, length / 2, length)
    lengths = np.maximum(rng.normal(mean, LENGTH_STD).astype("int64"), MIN_LENGTH)
    missing = total - lengths.sum()
    lengths += missing // steps
    lengths[rng.permutation(steps)[: missing % steps]] += 1
    minimum = min(MIN_LENGTH, total // steps)
    # the corrections above can reduce lengths below the minimum; the sum must not change
    while lengths.min() < minimum:
        lengths[lengths.argmax()] -= 1
        lengths[lengths.argmin()] += 1
    return lengths


def _raise_too_short(sizes: Sequence[int], batch_size: int, length: int, lookahead: int) -> NoReturn:
    available = f"{sum(sizes) + lookahead * len(sizes)}" + (f" in {len(sizes)} pieces" if len(sizes) > 1 else "")
    raise ValueError(
        f"stream is too short: batch_size={batch_size} and bptt={length} require at least "
        f"{batch_size * length + lookahead} steps"
        f"{' in pieces of at least ' + str(length + lookahead) if len(sizes) > 1 else ''}, got {available}; "
        "pass a longer stream, or reduce batch_size or bptt"
    )
