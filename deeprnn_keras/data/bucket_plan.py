"""Buckets of sequences of similar length, and the plan that draws padded batches from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from deeprnn_keras import checks


def bucket_boundaries(lengths: np.ndarray, num_buckets: int, boundaries: Sequence[int] | None = None) -> np.ndarray:
    """Return the maximum length of each bucket.

    Args:
        lengths: Lengths of the sequences, (n,).
        num_buckets: Maximum number of buckets. The boundaries are quantiles of the lengths, so that the buckets hold
            about the same number of sequences.
        boundaries: User-defined boundaries, in increasing order. Replaces `num_buckets`.

    Returns:
        The boundaries in increasing order, int64.

    Raises:
        ValueError: If `boundaries` is empty, not increasing, or ends below the longest sequence.

    >>> import numpy as np
    >>> from deeprnn_keras.data.bucket_plan import bucket_boundaries
    >>> bucket_boundaries(np.array([1, 1, 2, 3, 5, 8, 13, 21]), num_buckets=4).tolist()
    [1, 3, 8, 21]
    """
    num_buckets = checks.positive_int("num_buckets", num_buckets)
    if boundaries is None:
        quantiles = np.arange(1, num_buckets + 1) / num_buckets
        return np.unique(np.quantile(lengths, quantiles, method="inverted_cdf")).astype("int64")
    result = np.array(
        [checks.positive_int(f"boundaries[{k}]", boundary) for k, boundary in enumerate(boundaries)], "int64"
    )
    if not len(result) or (np.diff(result) <= 0).any():
        raise ValueError(
            f"boundaries must be a non-empty list of strictly increasing positive integers, got {result.tolist()}"
        )
    if result[-1] < lengths.max():
        raise ValueError(
            f"boundaries must include the longest sequence, got {result[-1]} as the last boundary, but sequence "
            f"{lengths.argmax()} has {lengths.max()} steps; add a boundary or truncate the sequence"
        )
    return result


def bucket_plan(
    lengths: np.ndarray, boundaries: np.ndarray, batch_size: int, seed: int | None = None
) -> tuple[Callable[[int], tuple[list[np.ndarray], np.ndarray]], list[int]]:
    """Return the plan of batches that are each drawn from one bucket.

    Args:
        lengths: Lengths of the sequences, (n,).
        boundaries: Maximum lengths of the buckets, see `bucket_boundaries`. Buckets without sequences are dropped.
        batch_size: Batch size; the last batch of a bucket may be smaller.
        seed: Random seed of the order of sequences within their buckets, and of the order of all batches. None keeps
            the order of the sequences, and starts with the bucket of the shortest sequences.

    Returns:
        plan: Function from the index of a pass to (indices of the sequences of each batch, T of each batch). With a
            seed, the batches differ from pass to pass, but not their number.
        padded_lengths: T of each bucket, in increasing order: the length of the longest sequence in the bucket.

    >>> import numpy as np
    >>> from deeprnn_keras.data.bucket_plan import bucket_plan
    >>> plan, padded_lengths = bucket_plan(np.array([2, 7, 1, 2, 5]), np.array([3, 9]), batch_size=2)
    >>> [rows.tolist() for rows in plan(0)[0]], plan(0)[1].tolist(), padded_lengths
    ([[0, 2], [3], [1, 4]], [2, 2, 7], [2, 7])
    """
    bucket = np.searchsorted(boundaries, lengths)
    members = [np.flatnonzero(bucket == number) for number in np.unique(bucket)]
    padded_lengths = [int(lengths[rows].max()) for rows in members]

    def plan(pass_number: int) -> tuple[list[np.ndarray], np.ndarray]:
        rng = None if seed is None else np.random.default_rng([seed, pass_number])
        batches: list[np.ndarray] = []
        batch_lengths: list[int] = []
        for rows, length in zip(members, padded_lengths, strict=True):
            rows = rows if rng is None else rng.permutation(rows)
            in_bucket = [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]
            batches += in_bucket
            batch_lengths += [length] * len(in_bucket)
        order = np.arange(len(batches)) if rng is None else rng.permutation(len(batches))
        return [batches[number] for number in order], np.array(batch_lengths, "int64")[order]

    return plan, padded_lengths
