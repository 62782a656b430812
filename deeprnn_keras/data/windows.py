"""Windows over text and series as batches of inputs and targets for `model.fit`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import ArrayLike, Tensor
from deeprnn_keras.data.values import token_ids

if TYPE_CHECKING:
    from deeprnn_keras.data.batches import Batches


def token_windows(
    pieces: Sequence[ArrayLike],
    length: int,
    batch_size: int,
    *,
    stride: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    steps: int | None = None,
) -> Batches:
    """Cut token ids into windows for language modeling: x is a window, y is x shifted by one token.

        x = ids[s : s + T],  y = ids[s + 1 : s + 1 + T],  s = 0, stride, 2 stride, ...

    No window spans two pieces; the remainder at the end of a piece is dropped. With `shuffle`, the order differs from
    epoch to epoch. (After `keras.utils.set_random_seed`, `fit` with NumPy arrays repeats one order on TensorFlow.)

    Args:
        pieces: Arrays of integer ids, each of shape (tokens,).
        length: Number of time steps per window, T.
        batch_size: Batch size, n; the last batch of a pass may be smaller.
        stride: Distance between the starts of consecutive windows. None: `length`, so that no token is read twice.
        shuffle: If True, draw a new order for every epoch.
        seed: Random seed of the order. None draws one that `keras.utils.set_random_seed` determines.
        steps: Number of batches per epoch of `fit`. None: one pass. With another number, an epoch continues where the
            previous one stopped.

    Returns:
        A `tf.data.Dataset` of known length with a settable position. It yields (x, y), int32 of shape (n, T). Pass it
        to `fit` with `shuffle=False`; otherwise Keras warns that its own shuffling has no effect.

    Raises:
        TypeError: If the ids are not integers. Use `series_windows` for real-valued series.
        ValueError: If no piece has `length` + 1 tokens, a piece does not have shape (tokens,), or an id is not in
            [0, 2**31).

    >>> import numpy as np
    >>> from deeprnn_keras import token_windows
    >>> x, y = next(iter(token_windows([np.arange(7)], length=3, batch_size=2, shuffle=False)))
    >>> x.numpy().tolist(), y.numpy().tolist()
    ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """
    import tensorflow as tf

    from deeprnn_keras.data.batches import Batches, fingerprint, resolve_seed

    length = checks.positive_int("length", length)
    batch_size = checks.positive_int("batch_size", batch_size)
    shuffle = checks.flag("shuffle", shuffle)
    if not isinstance(pieces, Iterable):
        raise TypeError(f"pieces must be a list of arrays of ids, each of shape (tokens,), got {pieces!r}")
    id_pieces = [token_ids("pieces", piece) for piece in pieces]
    starts = window_starts([len(piece) for piece in id_pieces], length, stride)
    if not len(starts):
        raise ValueError(
            f"pieces must have at least {length + 1} tokens for one window of length={length} and its targets, got at "
            f"most {max(map(len, id_pieces), default=0)} in {len(id_pieces)} pieces; pass more text or reduce length"
        )
    ids = np.concatenate(id_pieces)
    tokens, within = tf.constant(ids), tf.range(length + 1, dtype=tf.int64)
    seed = resolve_seed(seed) if shuffle else None

    def make_batch(first_steps: Tensor) -> tuple[Tensor, Tensor]:
        window = tf.gather(tokens, first_steps[:, None] + within)
        return window[:, :-1], window[:, 1:]

    about = {
        "kind": "windows",
        "text": fingerprint(ids),
        "windows": fingerprint(starts),
        "T": length,
        "n": batch_size,
        "seed": seed,
    }
    return Batches(window_plan(starts, batch_size, seed), [tf.TensorSpec((None,), tf.int64)], make_batch, about, steps)


def series_windows(
    values: ArrayLike | Sequence[ArrayLike],
    length: int,
    batch_size: int,
    *,
    horizon: int = 1,
    targets: ArrayLike | Sequence[ArrayLike] | None = None,
    missing: str = "refuse",
    stride: int = 1,
    shuffle: bool = True,
    seed: int | None = None,
    steps: int | None = None,
) -> Batches:
    """Cut real-valued series into windows for forecasting: x is a window, y holds the `horizon` steps after it.

        x = values[s : s + T],  y = targets[s + T : s + T + horizon],  s = 0, stride, 2 stride, ...

    No window spans two series; the remainder at the end of a series is dropped. With `shuffle`, the order differs from
    epoch to epoch. For covariates, use `SeriesDataset`.

    Args:
        values: One series, an array (steps,) or (steps, d), or a list of such arrays that do not continue each other.
            A list of numbers is one series. Integers are converted to float32.
        length: Number of time steps per window, T.
        batch_size: Batch size, n; the last batch of a pass may be smaller.
        horizon: Number of steps to predict.
        targets: Values to predict, in the form of `values` and aligned with it step by step: (steps,) or (steps, q)
            for each series. None: `values`.
        missing: "refuse" to reject NaN, or "mask" to read NaN as missing; see `SeriesDataset`.
        stride: Distance between the starts of consecutive windows.
        shuffle: If True, draw a new order for every epoch.
        seed: Random seed of the order. None draws one that `keras.utils.set_random_seed` determines.
        steps: Number of batches per epoch of `fit`. None: one pass. With another number, an epoch continues where the
            previous one stopped.

    Returns:
        A `tf.data.Dataset` of known length with a settable position. It yields x (n, T, d) and y (n, horizon, q),
        float32; with missing="mask", it yields (x, y, weights) with x = {"values": ..., "observed": ...}. Pass it to
        `fit` with `shuffle=False`; otherwise Keras warns that its own shuffling has no effect.

    Raises:
        TypeError: If `values` or `targets` are not numbers.
        ValueError: If a value is infinite or, without missing="mask", NaN; if shapes do not match; or if no series has
            `length` + `horizon` steps.

    >>> import numpy as np
    >>> from deeprnn_keras import series_windows
    >>> x, y = next(iter(series_windows(np.arange(6.0), length=3, batch_size=2, horizon=2, shuffle=False)))
    >>> x.shape, x.numpy()[:, :, 0].tolist(), y.numpy()[:, :, 0].tolist()
    (TensorShape([2, 3, 1]), [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]], [[3.0, 4.0], [4.0, 5.0]])
    """
    from deeprnn_keras.data.series_dataset import SeriesDataset

    return SeriesDataset(
        values,
        length,
        batch_size,
        horizon=horizon,
        targets=targets,
        missing=missing,
        stride=stride,
        shuffle=shuffle,
        seed=seed,
        steps=steps,
    )


def window_plan(starts: np.ndarray, batch_size: int, seed: int | None) -> Callable[[int], tuple[list[np.ndarray]]]:
    """Return the function from the index of a pass to the starts of the windows of each batch.

    Args:
        starts: Starts of all windows.
        batch_size: Batch size.
        seed: Random seed of the order; None keeps the order of `starts`.
    """
    from deeprnn_keras.data.batches import permutation

    def plan(pass_number: int) -> tuple[list[np.ndarray]]:
        ordered = starts if seed is None else starts[permutation(len(starts), seed, pass_number)]
        return ([ordered[first : first + batch_size] for first in range(0, len(ordered), batch_size)],)

    return plan


def window_starts(lengths: Sequence[int], length: int, stride: int | None = None) -> np.ndarray:
    """Return the starts of windows in concatenated pieces.

    Args:
        lengths: Lengths of the pieces.
        length: Number of steps per window, T. A window requires T + 1 steps.
        stride: Distance between the starts of consecutive windows. None: T.

    Returns:
        The starts, int64.
    """
    stride = length if stride is None else checks.positive_int("stride", stride)
    offsets = np.cumsum([0, *lengths])[:-1]
    starts = [offset + np.arange(0, size - length, stride) for offset, size in zip(offsets, lengths, strict=True)]
    return np.concatenate([[], *starts]).astype("int64")
