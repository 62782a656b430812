"""`SeriesDataset`: windows of real-valued series, with missing values and covariates, as batches for `model.fit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from deeprnn_keras import checks
from deeprnn_keras._types import ArrayLike, Tensor
from deeprnn_keras.data.batches import Batches, fingerprint, resolve_seed
from deeprnn_keras.data.windows import window_plan, window_starts

MISSING = ("refuse", "mask")


class SeriesDataset(Batches):
    """Windows of real-valued series and the `horizon` steps after them.

        values = values[s : s + T],  y = targets[s + T : s + T + horizon],  s = 0, stride, 2 stride, ...

    No window spans two series; the remainder at the end of a series is dropped. With `shuffle`, the order differs from
    epoch to epoch. It is a `tf.data.Dataset` of known length with a settable position, for `Resume`. Pass it to `fit`
    with `shuffle=False`; otherwise Keras warns that its own shuffling has no effect.

    A batch is (x, y), or (x, y, weights) with missing="mask". x is the array `values` if there is nothing else to read,
    otherwise a dictionary; a functional model reads its entries by the names of its inputs:

        "values"        (n, T, d)            windows, 0 where missing
        "observed"      (n, T, d)            with missing="mask": 1 where a value is observed, 0 where it is missing
        "known_future"  (n, T + horizon, k)  covariates of the window and of the horizon
        "static"        (n, s)               covariates of the series

    y has the shape (n, horizon, q). The weights, (n, horizon), are 0 for steps with a missing target. All arrays are
    float32. Covariates that are known only up to the present are columns of `values`; pass `targets` without them.

    Args:
        values: One series, an array (steps,) or (steps, d), or a list of such arrays that do not continue each other.
            A list of numbers is one series. Integers are converted to float32.
        length: Number of time steps per window, T.
        batch_size: Batch size, n; the last batch of a pass may be smaller.
        horizon: Number of steps to predict.
        targets: Values to predict, in the form of `values` and aligned with it step by step: (steps,) or (steps, q)
            for each series. None: `values`.
        known_future: Covariates that are known in advance, in the form of `values`: (steps,) or (steps, k) per series.
        static: Covariates of each series, (series, s).
        missing: "refuse" to reject NaN, or "mask" to read NaN as missing. Windows without a target are then left out.
        stride: Distance between the starts of consecutive windows.
        shuffle: If True, draw a new order for every epoch.
        seed: Random seed of the order. None draws one that `keras.utils.set_random_seed` determines.
        steps: Number of batches per epoch of `fit`. None: one pass. With another number, an epoch continues where the
            previous one stopped.

    Raises:
        TypeError: If an array does not hold numbers.
        ValueError: If a value is infinite or, without missing="mask", NaN; if shapes do not match; or if no series has
            `length` + `horizon` steps.

    >>> import numpy as np
    >>> from deeprnn_keras import SeriesDataset
    >>> y = np.array([0.0, 1.0, np.nan, 3.0, 4.0, 5.0])
    >>> data = SeriesDataset(y, length=3, batch_size=3, missing="mask", static=[[7.0]], shuffle=False)
    >>> x, y, weights = next(iter(data))
    >>> {name: tuple(array.shape) for name, array in x.items()}
    {'values': (3, 3, 1), 'observed': (3, 3, 1), 'static': (3, 1)}
    >>> x["values"].numpy()[0, :, 0].tolist(), x["observed"].numpy()[0, :, 0].tolist()
    ([0.0, 1.0, 0.0], [1.0, 1.0, 0.0])
    """

    def __init__(
        self,
        values: ArrayLike | Sequence[ArrayLike],
        length: int,
        batch_size: int,
        *,
        horizon: int = 1,
        targets: ArrayLike | Sequence[ArrayLike] | None = None,
        known_future: ArrayLike | Sequence[ArrayLike] | None = None,
        static: ArrayLike | None = None,
        missing: str = "refuse",
        stride: int = 1,
        shuffle: bool = True,
        seed: int | None = None,
        steps: int | None = None,
    ) -> None:
        length = checks.positive_int("length", length)
        batch_size = checks.positive_int("batch_size", batch_size)
        horizon = checks.positive_int("horizon", horizon)
        shuffle = checks.flag("shuffle", shuffle)
        masks = checks.one_of("missing", missing, MISSING) == "mask"
        inputs = _series("values", values, masks)
        outputs = inputs if targets is None else _aligned("targets", targets, inputs, masks)
        known = None if known_future is None else np.concatenate(_aligned("known_future", known_future, inputs, False))
        per_series = None if static is None else _static(static, len(inputs))
        lengths = [len(series) for series in inputs]
        starts = window_starts(lengths, length + horizon - 1, stride)
        if not len(starts):
            raise ValueError(
                f"values must have at least {length + horizon} steps for length={length} and horizon={horizon}, got at "
                f"most {max(lengths, default=0)} in {len(lengths)} series; pass longer series or reduce length or "
                "horizon"
            )
        x, y = np.concatenate(inputs), np.concatenate(outputs)
        if masks:
            starts = _with_targets(starts, y, length, horizon)
        make_batch = _make_batch(x, y, known, per_series, np.cumsum(lengths), length, horizon, masks)
        seed = resolve_seed(seed) if shuffle else None
        about = {
            "kind": "series windows",
            "values": fingerprint(x),
            "targets": fingerprint(y),
            "covariates": fingerprint(*(one for one in (known, per_series) if one is not None)),
            "windows": fingerprint(starts),
            "missing": missing,
            "T": length,
            "horizon": horizon,
            "n": batch_size,
            "seed": seed,
        }
        plan = window_plan(starts, batch_size, seed)
        super().__init__(plan, [tf.TensorSpec((None,), tf.int64)], make_batch, about, steps)


def _make_batch(
    x: np.ndarray,
    y: np.ndarray,
    known: np.ndarray | None,
    static: np.ndarray | None,
    ends: np.ndarray,
    length: int,
    horizon: int,
    masks: bool,
) -> Callable[[Tensor], tuple[Any, ...]]:
    """Return the function from the starts of windows to a batch."""
    parts = {"values": _filled(x)}
    if masks:
        parts["observed"] = _observed(x)
    steps, targets, weights = {name: tf.constant(array) for name, array in parts.items()}, tf.constant(_filled(y)), None
    if masks:
        weights = tf.constant(_observed(y).min(axis=1))
    known_steps = None if known is None else tf.constant(known)
    within, ahead, both = (
        tf.range(*limits, dtype=tf.int64) for limits in ((length,), (length, length + horizon), (length + horizon,))
    )

    def make_batch(starts: Tensor) -> tuple[Any, ...]:
        read: Any = {name: tf.gather(array, starts[:, None] + within) for name, array in steps.items()}
        if known_steps is not None:
            read["known_future"] = tf.gather(known_steps, starts[:, None] + both)
        if static is not None:
            read["static"] = tf.gather(static, tf.searchsorted(ends, starts, side="right"))
        read = read["values"] if len(read) == 1 else read
        rows = starts[:, None] + ahead
        batch = (read, tf.gather(targets, rows))
        return batch if weights is None else (*batch, tf.gather(weights, rows))

    return make_batch


def _filled(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values, nan=0.0)


def _observed(values: np.ndarray) -> np.ndarray:
    return (~np.isnan(values)).astype("float32")


def _with_targets(starts: np.ndarray, y: np.ndarray, length: int, horizon: int) -> np.ndarray:
    """Return the starts of the windows with at least one observed target."""
    counts = np.concatenate([[0], np.cumsum(_observed(y).min(axis=1) > 0)])
    kept = starts[counts[starts + length + horizon] > counts[starts + length]]
    if not len(kept):
        raise ValueError("targets must have an observed value in the horizon of a window, got only missing ones")
    return kept


# === Checks ===


def _static(static: ArrayLike, count: int) -> np.ndarray:
    array = np.asarray(static)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"static must hold numbers, got {array.dtype}")
    if array.ndim != 2 or len(array) != count:
        raise ValueError(f"static must have shape (series, s) with {count} series, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"static must be finite, got {array[~np.isfinite(array)][0]}; fill missing values")
    return array.astype("float32")


def _aligned(
    name: str, values: ArrayLike | Sequence[ArrayLike], inputs: Sequence[np.ndarray], masks: bool
) -> list[np.ndarray]:
    """Return series with the same numbers of steps as the values."""
    series = _series(name, values, masks)
    lengths, expected = [len(one) for one in series], [len(one) for one in inputs]
    if lengths != expected:
        raise ValueError(
            f"{name} must have the same number of steps as values in every series, got {lengths} steps for {expected}"
        )
    return series


def _series(name: str, values: ArrayLike | Sequence[ArrayLike], masks: bool) -> list[np.ndarray]:
    """Return series as float32 arrays (steps, d) with the same d; NaN is allowed if `masks`."""
    several = isinstance(values, (list, tuple)) and not all(np.ndim(entry) == 0 for entry in values)
    arrays = [np.asarray(entry) for entry in (values if several else [values])]
    for number, array in enumerate(arrays):
        _check_series(f"{name}[{number}]" if several else name, array, masks)
    series = [array.reshape(len(array), -1).astype("float32") for array in arrays]
    widths = sorted({array.shape[1] for array in series})
    if len(widths) > 1:
        raise ValueError(f"all series of {name} must have the same number of features, got {widths}")
    return series


def _check_series(name: str, array: np.ndarray, masks: bool) -> None:
    """Check the dtype, the shape, and the values of one series."""
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold numbers, got {array.dtype}")
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} must have shape (steps,) or (steps, features), got {array.shape}")
    with np.errstate(over="ignore"):  # numbers that overflow float32 become infinite
        converted = array.astype("float32")
    invalid = np.argwhere(np.isinf(converted) if masks else ~np.isfinite(converted))
    if len(invalid):
        position = ", ".join(f"{axis} {index}" for axis, index in zip(("step", "feature"), invalid[0], strict=False))
        value = array[tuple(invalid[0])]
        supported = "in the range of float32" if np.isfinite(value) else "finite"
        remedy = '; fill or drop missing values, or pass missing="mask"' if np.isnan(value) else ""
        raise ValueError(f"{name} must be {supported}, got {value} at {position}{remedy}")
