"""Masks of several forms, by name."""

from __future__ import annotations

import numpy as np

from deeprnn_keras import checks

MASK_KINDS = ("right-padded", "left-padded", "gaps", "empty rows")


def make_mask(kind: str, batch_size: int, steps: int, seed: int = 0) -> np.ndarray:
    """Return a mask (n, T) that is true at valid steps.

    Args:
        kind: "right-padded" or "left-padded" for a random number of valid steps, at least 1, in each row; "gaps" for
            random steps in each row; "empty rows" for random steps, and none in every second row.
        batch_size: n.
        steps: T.
        seed: Random seed.

    >>> from deeprnn_keras.bench.masks import make_mask
    >>> make_mask("left-padded", 2, 5, seed=1).astype(int).tolist()
    [[0, 0, 1, 1, 1], [0, 0, 1, 1, 1]]
    """
    checks.one_of("mask", kind, MASK_KINDS)
    rng = np.random.default_rng(seed)
    if kind in ("right-padded", "left-padded"):
        mask = np.arange(steps) < rng.integers(1, steps + 1, (batch_size, 1))
        return mask if kind == "right-padded" else mask[:, ::-1]
    mask = rng.random((batch_size, steps)) < 0.7
    if kind == "empty rows":
        mask[::2] = False
    return mask
