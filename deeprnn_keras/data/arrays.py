"""`ArrayDataset`: arrays as batches in another order in every epoch."""

import numpy as np
import tensorflow as tf

from deeprnn_keras import checks
from deeprnn_keras.data.batches import Batches, drawn_seed, fingerprint, shuffled


class ArrayDataset(Batches):
    """Arrays as batches for `fit`, in an order that is new in every epoch and known for each.

    `fit(x, y)` on NumPy arrays repeats one order in all epochs on TensorFlow once `keras.utils.set_random_seed` was
    called, and cannot begin in the middle of an epoch, as `Resume` needs it. This does neither.

    Args:
        x, y: arrays with one row per example, or tuples, lists or dictionaries of them; y may be None.
        batch_size: n; the last batch of a pass may be smaller.
        sample_weight: (examples,) or (examples, T), or None.
        shuffle: whether the order is drawn anew in every epoch.
        seed: of the order, a whole number, or None for one that `keras.utils.set_random_seed` fixes.
        steps: batches in an epoch of `fit`, None for one pass.

    Give it to `fit` with `shuffle=False`, or Keras warns that its shuffling does nothing.

    Raises:
        ValueError: if there is no example, or arrays have different numbers of rows.

    >>> import numpy as np
    >>> from deeprnn_keras import ArrayDataset
    >>> data = ArrayDataset(np.arange(6.0)[:, None], np.arange(6), batch_size=4, seed=0)
    >>> [y.numpy().tolist() for x, y in data], [y.numpy().tolist() for x, y in data]
    ([[3, 2, 5, 4], [0, 1]], [[1, 4, 3, 0], [2, 5]])
    """

    def __init__(self, x, y=None, batch_size=32, *, sample_weight=None, shuffle=True, seed=None, steps=None):
        batch_size = checks.positive_int("batch_size", batch_size)
        given = (x,) if y is None else (x, y) if sample_weight is None else (x, y, sample_weight)
        arrays = tf.nest.map_structure(np.asarray, given)
        flat = tf.nest.flatten(arrays)
        count = _examples(flat)
        tensors = tf.nest.map_structure(tf.constant, arrays)
        seed = drawn_seed(seed) if shuffle else None

        def order(number):
            rows = shuffled(count, seed, number) if shuffle else np.arange(count)
            return ([rows[first : first + batch_size] for first in range(0, count, batch_size)],)

        def cut(rows):
            return tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), tensors)

        about = {"kind": "arrays", "arrays": fingerprint(*flat), "n": batch_size, "seed": seed}
        super().__init__(order, [tf.TensorSpec((None,), tf.int64)], cut, about, steps)


def _examples(arrays):
    counts = [len(array) if array.ndim else 0 for array in arrays]
    if not all(counts) or len(set(counts)) > 1:
        raise ValueError(f"x, y and sample_weight must have one row per example, at least one; got {counts} rows")
    return counts[0]
