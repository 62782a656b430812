"""Plans that split a stream into parallel substreams and each substream into chunks, for truncated backpropagation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn, TypeAlias

import numpy as np

from deeprnn_keras.data.batches import permutation

# Merity et al. 2017: standard deviation of the lengths, fraction of batches with mean T / 2, and minimum length
LENGTH_STD, HALF_LENGTH_FRACTION, MIN_LENGTH = 5.0, 0.05, 5

StreamPlan: TypeAlias = Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Function from the index of a pass to (offsets (steps, n), T (steps,), ages (steps, n)), one row per batch.

The age of a row is the number of steps since the states of the row were reset; 0 for a row that is reset.
"""


def fixed_length_plan(
    sizes: Sequence[int],
    batch_size: int,
    length: int,
    lookahead: int = 0,
    *,
    burn_in: int = 0,
    seed: int | None = None,
) -> StreamPlan:
    """Return the plan of batches of T steps.

    A single piece is cut into n parallel streams of equal size; less than n steps at its end are dropped. The last
    batch has fewer steps if T does not divide the size of a stream. The same applies to several pieces of equal size
    whose number is a multiple of n. If the sizes of several pieces differ, the remainder of each piece is dropped,
    because all rows of a batch have the same number of steps, and rows start new pieces with a new batch.

    Args:
        sizes: Number of steps in each piece, `lookahead` excluded.
        batch_size: Number of parallel streams, n.
        length: Number of steps per batch, T.
        lookahead: 1 if each piece has one more step, which serves as a target only.
        burn_in: Number of steps that are added to the first batch of streams or pieces of equal size.
        seed: Random seed of the order of the pieces, a new one in every pass; pieces of equal size that do not fill a
            batch are then dropped. None for the given order in every pass.

    Raises:
        ValueError: If there are too few steps for one batch.
    """
    chunks = np.array([size // length for size in sizes])
    if not chunks.sum() // batch_size:
        _raise_too_short(sizes, batch_size, length, lookahead)
    firsts = np.cumsum([0, *(size + lookahead for size in sizes)])[:-1]
    count = len(sizes)
    if count == 1:
        count, firsts = batch_size, sizes[0] // batch_size * np.arange(batch_size)
    elif len(set(sizes)) == 1 and seed is not None and count >= batch_size:
        count -= count % batch_size
    equal = len(set(sizes)) == 1 and count % batch_size == 0
    lengths = _window_lengths(sizes[0] if len(sizes) > 1 else sizes[0] // batch_size, length, burn_in)

    def plan(pass_number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        order = np.arange(len(firsts)) if seed is None else permutation(len(firsts), seed, pass_number)
        if equal:
            return _equal_streams(firsts[order[:count]], batch_size, lengths)
        return _unequal_pieces(firsts[order], chunks[order], batch_size, length)

    fixed = plan(0)
    return plan if seed is not None else lambda pass_number: fixed


def _window_lengths(size: int, length: int, burn_in: int) -> np.ndarray:
    """Return the numbers of steps B + T, T, ..., T, and of the remainder, which add up to `size`."""
    lengths = np.full(max(1, -(-(size - burn_in) // length)), length, "int64")
    lengths[0] += burn_in
    lengths[-1] += size - lengths.sum()
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
    ages = np.tile(starts[:, None], (len(pieces), batch_size))
    return offsets.astype("int64"), np.tile(lengths, len(pieces)), ages


def _unequal_pieces(
    firsts: np.ndarray, chunks: np.ndarray, batch_size: int, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the columns of the plan of pieces of different sizes, each cut into chunks of T steps."""
    steps = chunks.sum() // batch_size
    ages = [length * np.arange(count) for count in chunks]  # of the chunks of each piece
    offsets = [first + age for first, age in zip(firsts, ages, strict=True)]
    offset_table, age_table = (
        np.concatenate(columns)[: batch_size * steps].reshape(batch_size, steps).T.astype("int64")
        for columns in (offsets, ages)
    )
    age_table = np.minimum(age_table, length * np.arange(steps)[:, None])  # a row may start within a piece
    return offset_table, np.full(steps, length, "int64"), age_table


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
