"""Windows over text and series as batches of inputs and targets for `model.fit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras import checks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

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

    No window crosses the border of a piece; the remainder at its end is dropped. With `shuffle` the order differs from
    epoch to epoch. (`fit` on NumPy arrays after `keras.utils.set_random_seed` repeats one order on TensorFlow.)

    Args:
        pieces: Arrays of integer ids, each of shape (tokens,).
        length: Number of time steps per window, T.
        batch_size: Batch size, n; the last batch of a pass may be smaller.
        stride: Distance between the starts of consecutive windows. Default: `length`, so that no token is read twice.
        shuffle: Draw a new order for every epoch.
        seed: Random seed of the order. Default: drawn from the seed of `keras.utils.set_random_seed`.
        steps: Number of batches per epoch of `fit`. Default: one pass; with another number, an epoch continues where
            the previous one stopped.

    Returns:
        A `tf.data.Dataset` of known length with a settable position. It yields (x, y), int32 of shape (n, T). Pass it
        to `fit` with `shuffle=False`; it shuffles itself.

    Raises:
        TypeError: If the ids are not integers. Use `series_windows` for real-valued series.
        ValueError: If no piece has `length` + 1 tokens.

    >>> import numpy as np
    >>> from deeprnn_keras import token_windows
    >>> x, y = next(iter(token_windows([np.arange(7)], length=3, batch_size=2, shuffle=False)))
    >>> x.numpy().tolist(), y.numpy().tolist()
    ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """
    import tensorflow as tf

    from deeprnn_keras.data.batches import Batches, drawn_seed, fingerprint

    length = checks.positive_int("length", length)
    batch_size = checks.positive_int("batch_size", batch_size)
    pieces = [_ids(piece) for piece in pieces]
    starts = window_starts([len(piece) for piece in pieces], length, stride)
    if not len(starts):
        raise ValueError(
            f"the text is too short for one window: a window of T = {length} steps needs {length + 1} symbols, "
            f"the longest of {len(pieces)} pieces has {max(map(len, pieces), default=0)}; "
            "give more text or a smaller window"
        )
    values = np.concatenate(pieces).astype("int32")
    symbols, within = tf.constant(values), tf.range(length + 1, dtype=tf.int64)
    seed = drawn_seed(seed) if shuffle else None

    def cut(start):
        window = tf.gather(symbols, start[:, None] + within)
        return window[:, :-1], window[:, 1:]

    about = {
        "kind": "windows",
        "text": fingerprint(values),
        "windows": fingerprint(starts),
        "T": length,
        "n": batch_size,
        "seed": seed,
    }
    return Batches(_order(starts, batch_size, seed), [tf.TensorSpec((None,), tf.int64)], cut, about, steps)


def series_windows(
    values: ArrayLike | Sequence[ArrayLike],
    length: int,
    batch_size: int,
    *,
    horizon: int = 1,
    targets: ArrayLike | Sequence[ArrayLike] | None = None,
    stride: int = 1,
    shuffle: bool = True,
    seed: int | None = None,
    steps: int | None = None,
) -> Batches:
    """Cut real-valued series into windows for forecasting: x is a window, y holds the `horizon` steps after it.

        x = values[s : s + T],  y = targets[s + T : s + T + horizon],  s = 0, stride, 2 stride, ...

    No window crosses the border of a series; the remainder at its end is dropped. With `shuffle` the order differs
    from epoch to epoch.

    Args:
        values: One series, an array (steps,) or (steps, d), or a list of such arrays that do not continue each other.
            A list of numbers is one series. Integers are converted to float32.
        length: Number of time steps per window, T.
        batch_size: Batch size, n; the last batch of a pass may be smaller.
        horizon: Number of steps to predict.
        targets: What to predict, in the form of `values`, aligned with it step by step: (steps,) or (steps, q) for
            each series. Default: `values`.
        stride: Distance between the starts of consecutive windows.
        shuffle: Draw a new order for every epoch.
        seed: Random seed of the order. Default: drawn from the seed of `keras.utils.set_random_seed`.
        steps: Number of batches per epoch of `fit`. Default: one pass; with another number, an epoch continues where
            the previous one stopped.

    Returns:
        A `tf.data.Dataset` of known length with a settable position. It yields x (n, T, d) and y (n, horizon, q),
        float32. Pass it to `fit` with `shuffle=False`; it shuffles itself.

    Raises:
        TypeError: If `values` or `targets` are not numbers.
        ValueError: If a value is NaN or infinite, if shapes do not match, or if no series has `length` + `horizon`
            steps.

    >>> import numpy as np
    >>> from deeprnn_keras import series_windows
    >>> x, y = next(iter(series_windows(np.arange(6.0), length=3, batch_size=2, horizon=2, shuffle=False)))
    >>> x.shape, x.numpy()[:, :, 0].tolist(), y.numpy()[:, :, 0].tolist()
    (TensorShape([2, 3, 1]), [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]], [[3.0, 4.0], [4.0, 5.0]])
    """
    import tensorflow as tf

    from deeprnn_keras.data.batches import Batches, drawn_seed, fingerprint

    length = checks.positive_int("length", length)
    batch_size = checks.positive_int("batch_size", batch_size)
    horizon = checks.positive_int("horizon", horizon)
    inputs = _series("values", values)
    outputs = inputs if targets is None else _series("targets", targets)
    lengths = [len(one) for one in inputs]
    if [len(one) for one in outputs] != lengths:
        raise ValueError(
            f"targets must have as many steps as values, series by series, got {[len(one) for one in outputs]} for "
            f"{lengths}"
        )
    starts = window_starts(lengths, length + horizon - 1, stride)
    if not len(starts):
        raise ValueError(
            f"the series are too short: a window of {length} steps and a horizon of {horizon} require "
            f"{length + horizon} steps, the longest of {len(lengths)} series has {max(lengths, default=0)}"
        )
    x, y = np.concatenate(inputs), np.concatenate(outputs)
    seed = drawn_seed(seed) if shuffle else None
    read, predicted = tf.constant(x), tf.constant(y)
    within, ahead = tf.range(length, dtype=tf.int64), tf.range(length, length + horizon, dtype=tf.int64)

    def cut(start: Any) -> tuple[Any, Any]:
        return tf.gather(read, start[:, None] + within), tf.gather(predicted, start[:, None] + ahead)

    about = {
        "kind": "series windows",
        "values": fingerprint(x),
        "targets": fingerprint(y),
        "windows": fingerprint(starts),
        "T": length,
        "horizon": horizon,
        "n": batch_size,
        "seed": seed,
    }
    return Batches(_order(starts, batch_size, seed), [tf.TensorSpec((None,), tf.int64)], cut, about, steps)


def _order(starts: np.ndarray, batch_size: int, seed: int | None) -> Any:
    """Return the function pass number -> starts of the windows of each batch; `seed` None keeps the order."""
    from deeprnn_keras.data.batches import shuffled

    def order(number: int) -> tuple[list[np.ndarray]]:
        chosen = starts if seed is None else starts[shuffled(len(starts), seed, number)]
        return ([chosen[first : first + batch_size] for first in range(0, len(chosen), batch_size)],)

    return order


def _ids(piece: ArrayLike) -> np.ndarray:
    """Return a piece as an array of ids."""
    ids = np.asarray(piece)
    if ids.size and ids.dtype.kind not in "iu":
        raise TypeError(f"pieces must hold integer ids, got {ids.dtype}; use series_windows for real-valued series")
    return ids.astype("int32")


def _series(name: str, values: ArrayLike | Sequence[ArrayLike]) -> list[np.ndarray]:
    """Return series as float32 arrays (steps, d) of equal d, all of them finite."""
    several = isinstance(values, (list, tuple)) and not all(np.ndim(one) == 0 for one in values)
    arrays = [np.asarray(one) for one in (values if several else [values])]
    for number, array in enumerate(arrays):
        where = f"{name}[{number}]" if several else name
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{where} must hold numbers, got {array.dtype}")
        if array.ndim not in (1, 2):
            raise ValueError(f"{where} must have shape (steps,) or (steps, features), got {array.shape}")
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            position = ", ".join(f"{axis} {index}" for axis, index in zip(("step", "feature"), bad[0], strict=False))
            raise ValueError(
                f"{where} must be finite, got {array[tuple(bad[0])]} at {position}; fill or drop missing values"
            )
    shaped = [array.reshape(len(array), -1).astype("float32") for array in arrays]
    widths = sorted({array.shape[1] for array in shaped})
    if len(widths) > 1:
        raise ValueError(f"all series of {name} must have the same number of features, got {widths}")
    return shaped


def window_starts(lengths: Sequence[int], length: int, stride: int | None = None) -> np.ndarray:
    """Return where windows of `length` + 1 steps begin in pieces of these `lengths` laid end to end, int64."""
    stride = length if stride is None else checks.positive_int("stride", stride)
    offsets = np.cumsum([0, *lengths])[:-1]
    starts = [offset + np.arange(0, size - length, stride) for offset, size in zip(offsets, lengths, strict=True)]
    return np.concatenate([[], *starts]).astype("int64")
