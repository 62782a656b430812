"""Which sequences stand together in a batch, and how long it is: buckets of like length."""

import numpy as np

from deeprnn_keras import checks


def bucket_borders(lengths, num_buckets, boundaries=None):
    """The greatest length of each bucket.

    Args:
        lengths: of the sequences, (n,).
        num_buckets: at most so many buckets, of about as many sequences each: borders are quantiles of the lengths.
        boundaries: the borders themselves, rising; None: quantiles.

    Returns:
        The borders, rising, int64.

    Raises:
        ValueError: if there would be no bucket, or boundaries do not rise or leave out the longest sequence.

    >>> import numpy as np
    >>> from deeprnn_keras.data.bucket_plan import bucket_borders
    >>> bucket_borders(np.array([1, 1, 2, 3, 5, 8, 13, 21]), num_buckets=4).tolist()
    [1, 3, 8, 21]
    """
    count = checks.positive_int("num_buckets", num_buckets)
    if boundaries is None:
        shares = np.arange(1, count + 1) / count
        return np.unique(np.quantile(lengths, shares, method="inverted_cdf")).astype("int64")
    borders = np.array([checks.positive_int("each of boundaries", border) for border in boundaries], "int64")
    if not len(borders) or (np.diff(borders) <= 0).any():
        raise ValueError(f"boundaries must be increasing integers, at least one, got {borders.tolist()}")
    if borders[-1] < lengths.max():
        raise ValueError(
            f"boundaries must reach the longest sequence, number {lengths.argmax()} of {lengths.max()} steps, "
            f"but end at {borders[-1]}; add a boundary, or cut the sequence"
        )
    return borders


def bucket_plan(lengths, borders, batch_size, seed=None):
    """The plan of batches from buckets.

    Args:
        lengths: of the sequences, (n,).
        borders: of the buckets, see `bucket_borders`; buckets without a sequence are left out.
        batch_size: rows of a batch; the last one of a bucket may have fewer.
        seed: of the order, of sequences in their bucket and of all batches; None: as given, shortest bucket first.

    Returns:
        Pass number -> (rows of each batch, its steps T): other ones in every pass, as many. And T of each bucket,
        rising: the longest sequence there is in it.

    >>> import numpy as np
    >>> from deeprnn_keras.data.bucket_plan import bucket_plan
    >>> plan, longest = bucket_plan(np.array([2, 7, 1, 2, 5]), np.array([3, 9]), batch_size=2)
    >>> [rows.tolist() for rows in plan(0)[0]], plan(0)[1].tolist(), longest
    ([[0, 2], [3], [1, 4]], [2, 2, 7], [2, 7])
    """
    bucket = np.searchsorted(borders, lengths)
    members = [np.flatnonzero(bucket == number) for number in np.unique(bucket)]
    longest = [int(lengths[rows].max()) for rows in members]

    def plan(number):
        rng = None if seed is None else np.random.default_rng([seed, number])
        batches, steps = [], []
        for rows, length in zip(members, longest, strict=True):
            rows = rows if rng is None else rng.permutation(rows)
            cut = [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]
            batches += cut
            steps += [length] * len(cut)
        turns = np.arange(len(batches)) if rng is None else rng.permutation(len(batches))
        return [batches[turn] for turn in turns], np.array(steps, "int64")[turns]

    return plan, longest
