"""`Batches`: a `tf.data.Dataset` whose every epoch is known beforehand, so that training can begin anywhere in it."""

import hashlib
import random

import numpy as np
import tensorflow as tf

from deeprnn_keras import _compat, checks


class Batches(tf.data.Dataset):
    """Batches for `model.fit`, cut from arrays by an order that depends on nothing but the number of the pass.

    The order of a pass over the data is a table, drawn from (seed, pass) and not from how often somebody has iterated:
    epoch number 7 is the same whether the six before it were run or not. `set_position` makes the next iteration begin
    inside an epoch; that is how a training that was killed goes on.

    Give it to `fit` with `shuffle=False`; Keras leaves its order alone in any case, and otherwise warns that it does.

    Args:
        order: pass number -> one array per column of the table, one row per batch; always as many rows.
        signature: `tf.TensorSpec`s of a row.
        cut: one row -> what `fit` takes, in TensorFlow operations.
        about: what tells this data from other data, a flat dictionary of plain values; see `fingerprint`.
        steps: batches in an epoch of `fit`; passes follow each other without a gap. None: one pass.

    Attributes:
        about: as given.
    """

    def __init__(self, order, signature, cut, about, steps=None):
        self.about = dict(about)
        self._order, self._per_pass = order, len(order(0)[0])
        self._steps = self._per_pass if steps is None else checks.positive_int("steps", steps)
        self._next = [0, 0]  # epoch, batch
        rows = tf.data.Dataset.from_generator(self._rows, output_signature=tuple(signature))
        self._cut = rows.map(cut, num_parallel_calls=1, deterministic=True).prefetch(2)
        super().__init__(_compat.variant_tensor(self._cut))

    def set_position(self, epoch, batch=0):
        """Lets the next iteration begin with this batch of this epoch; the one after it is the next epoch, whole."""
        if not 0 <= batch < self._steps or epoch < 0:
            raise ValueError(
                f"epoch must be at least 0 and batch below the {self._steps} of an epoch, got {epoch} and {batch}"
            )
        self._next = [int(epoch), int(batch)]

    def rows_of(self, epoch, batch=0):
        """The rows of the order from this batch on to the end of the epoch."""
        table, known = None, None
        for place in range(epoch * self._steps + batch, (epoch + 1) * self._steps):
            number, row = divmod(place, self._per_pass)
            if number != known:
                table, known = self._order(number), number
            yield tuple(column[row] for column in table)

    def _rows(self):
        epoch, batch = self._next
        self._next = [epoch + 1, 0]
        yield from self.rows_of(epoch, batch)

    def cardinality(self):
        """Batches in an epoch."""
        return tf.constant(self._steps, tf.int64)

    def __len__(self):
        return self._steps

    def _inputs(self):
        return [self._cut]

    @property
    def element_spec(self):
        """As of any `tf.data.Dataset`."""
        return self._cut.element_spec


def fingerprint(*arrays):
    """A short text that tells arrays from others: shapes, types and a hash of the values.

    >>> import numpy as np
    >>> from deeprnn_keras.data.batches import fingerprint
    >>> fingerprint(np.arange(3, dtype="int32"))
    'int32 (3,) 82c392ca'
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    shapes = ", ".join(f"{array.dtype} {array.shape}" for array in arrays[:3])
    return f"{shapes}{' ...' if len(arrays) > 3 else ''} {digest.hexdigest()[:8]}"


def compact(values):
    """Whole numbers as int32 and others as float32, as models read them."""
    return values.astype("int32" if values.dtype.kind in "iub" else "float32")


def shuffled(count, seed, number):
    """The order of `count` things in pass `number`, a permutation of range(count)."""
    return np.random.default_rng([seed, number]).permutation(count)


def drawn_seed(seed):
    """`seed` as a whole number of at least 0; None: one that `keras.utils.set_random_seed` fixes."""
    seed = checks.seed("seed", seed)
    return random.getrandbits(31) if seed is None else seed % 2**63
