"""How a stream is laid out in lanes: where each row of a batch begins, how long it is, whether it begins anew."""

import numpy as np

SPREAD, HALVED, SHORTEST = 5.0, 0.05, 5  # standard deviation of a random T, the share about T / 2, the least


def fixed_length_plan(sizes, n, length, ahead=0):
    """The plan of batches of T steps.

    Args:
        sizes: steps in each piece.
        n: lanes.
        length: T.
        ahead: 1 where a piece has one step more than that, whose only use is to be a target.

    Returns:
        pass number -> (offsets (steps, n), T (steps,), whether a row begins anew (steps, n)), the same for every pass.

    Raises:
        ValueError: if there are too few steps.
    """
    counts = [size // length for size in sizes]
    steps = sum(counts) // n
    if not steps:
        _refuse(sizes, n, length, ahead)
    firsts = np.cumsum([0, *(size + ahead for size in sizes)])[:-1]
    offsets = [first + length * np.arange(count) for first, count in zip(firsts, counts, strict=True)]
    fresh = [np.arange(count) == 0 for count in counts]
    offsets, fresh = (np.concatenate(part)[: n * steps].reshape(n, steps).T for part in (offsets, fresh))
    fresh = fresh.copy()
    fresh[0] = True
    plan = offsets.astype("int64"), np.full(steps, length, "int64"), fresh
    return lambda number: plan


def random_length_plan(size, n, length, seed):
    """The plan of batches of random lengths over one stream of `size` steps: other ones in every pass, as many."""
    per_lane = size // n
    if per_lane < length:
        _refuse([size], n, length, 1)
    steps = max(1, round(per_lane / ((1 - HALVED) * length + HALVED * length / 2)))

    def plan(number):
        lengths = random_lengths(per_lane, steps, length, np.random.default_rng([seed, number]))
        ends = np.cumsum(lengths)
        offsets = per_lane * np.arange(n) + (ends - lengths)[:, None]
        return offsets, lengths, np.repeat(np.arange(steps) == 0, n).reshape(steps, n)

    return plan


def random_lengths(total, steps, length, rng):
    """`steps` lengths about T that add up to `total`."""
    centre = np.where(rng.random(steps) < HALVED, length / 2, length)
    lengths = np.maximum(rng.normal(centre, SPREAD).astype("int64"), SHORTEST)
    missing = total - lengths.sum()
    lengths += missing // steps
    lengths[rng.permutation(steps)[: missing % steps]] += 1
    least = min(SHORTEST, total // steps)
    while lengths.min() < least:  # what the shortest lack the longest give
        lengths[lengths.argmax()] -= 1
        lengths[lengths.argmin()] += 1
    return lengths


def _refuse(sizes, n, length, ahead):
    held = f"{sum(sizes) + ahead * len(sizes)}" + (f" in {len(sizes)} pieces" if len(sizes) > 1 else "")
    raise ValueError(
        f"stream is too short: {n} lanes (batch_size) of T = {length} steps (bptt) take {n * length + ahead} steps"
        f"{' in pieces of at least ' + str(length + ahead) if len(sizes) > 1 else ''}, it has {held}; "
        "give a longer one, or a smaller batch_size or bptt"
    )
