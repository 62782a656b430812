"""`ArrayDataset`: batches of arrays in a new order in every epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeprnn_keras import checks
from deeprnn_keras._types import ArrayLike, Tensor
from deeprnn_keras.data.batches import Batches, fingerprint, permutation, resolve_seed
from deeprnn_keras.data.values import check_all


class ArrayDataset(Batches):
    """Dataset of arrays for `fit`, shuffled in every epoch in an order that depends on the seed and the epoch only.

    After `keras.utils.set_random_seed`, `fit(x, y)` with NumPy arrays repeats one order in all epochs on TensorFlow,
    and its iteration cannot start in the middle of an epoch, as `Resume` requires. `ArrayDataset` has neither
    limitation. Pass it to `fit` with `shuffle=False`; otherwise Keras warns that its own shuffling has no effect.

    Args:
        x: Array with one row per example, or a tuple, list, or dictionary of such arrays.
        y: Targets in the same form, or None.
        batch_size: Batch size, n. The last batch of a pass may be smaller.
        sample_weight: Weights (examples,) or (examples, T), or None. Requires `y`.
        shuffle: If True, draw a new order for every epoch.
        seed: Random seed of the order. None draws one that `keras.utils.set_random_seed` determines.
        steps: Number of batches per epoch of `fit`. None: one pass over the examples.

    Raises:
        ValueError: If there are no examples, if the arrays have different numbers of rows, or if they hold NaN,
            infinite or complex numbers, dates, or objects.

    >>> import numpy as np
    >>> from deeprnn_keras import ArrayDataset
    >>> data = ArrayDataset(np.arange(6.0)[:, None], np.arange(6), batch_size=4, seed=0)
    >>> [y.numpy().tolist() for x, y in data], [y.numpy().tolist() for x, y in data]
    ([[3, 2, 5, 4], [0, 1]], [[1, 4, 3, 0], [2, 5]])
    """

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike = None,
        batch_size: int = 32,
        *,
        sample_weight: ArrayLike = None,
        shuffle: bool = True,
        seed: int | None = None,
        steps: int | None = None,
    ) -> None:
        batch_size = checks.positive_int("batch_size", batch_size)
        shuffle = checks.flag("shuffle", shuffle)
        if y is None and sample_weight is not None:
            raise ValueError("sample_weight requires y: it weighs the loss of each target, got y=None")
        for name, value in (("x", x), ("y", y), ("sample_weight", sample_weight)):
            _check_argument(name, value)
        structure = (x,) if y is None else (x, y) if sample_weight is None else (x, y, sample_weight)
        arrays = tf.nest.map_structure(np.asarray, structure)
        flat = tf.nest.flatten(arrays)
        num_examples = _num_examples(flat)
        for name, value in (("x", x), ("y", y), ("sample_weight", sample_weight)):
            _check_finite(name, value)
        tensors = tf.nest.map_structure(tf.constant, arrays)
        seed = resolve_seed(seed) if shuffle else None

        def plan(pass_number: int) -> tuple[list[np.ndarray]]:
            rows = np.arange(num_examples) if seed is None else permutation(num_examples, seed, pass_number)
            return ([rows[first : first + batch_size] for first in range(0, num_examples, batch_size)],)

        def make_batch(rows: Tensor) -> Tensor:
            return tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), tensors)

        about = {"kind": "arrays", "arrays": fingerprint(*flat), "n": batch_size, "seed": seed}
        super().__init__(plan, [tf.TensorSpec((None,), tf.int64)], make_batch, about, steps)


def _check_argument(name: str, value: ArrayLike) -> None:
    """Raise a ValueError if an argument holds no arrays, or arrays that TensorFlow cannot batch or would truncate."""
    if value is None:
        return
    arrays = [np.asarray(array) for array in tf.nest.flatten(value)]
    if not arrays:
        raise ValueError(f"{name} must have at least 1 row, got {value!r}")
    for array in arrays:
        if array.dtype.kind in "cmMO":
            raise ValueError(f"{name} must hold real numbers or text, got {array.dtype}")


def _check_finite(name: str, value: ArrayLike) -> None:
    """Raise a ValueError if a number is NaN or infinite; the message locates the first."""
    for array in () if value is None else map(np.asarray, tf.nest.flatten(value)):
        if array.dtype.kind == "f":
            check_all(name, "finite numbers", ~np.isfinite(array), array, lambda row: f"row {row}")


def _num_examples(arrays: Sequence[np.ndarray]) -> int:
    counts = [len(array) if array.ndim else 0 for array in arrays]
    if not all(counts) or len(set(counts)) > 1:
        raise ValueError(
            f"x, y, and sample_weight must have the same number of rows, one per example and at least 1, got {counts}"
        )
    return counts[0]
