"""`windows`: pieces of text as batches of inputs and targets for `model.fit`."""

import numpy as np

from deeprnn_keras import checks


def token_windows(pieces, length, batch_size, *, stride=None, shuffle=True, seed=None, steps=None):
    """Windows of `length` steps for language modelling: x is the window, y the same one symbol later.

    No window crosses the border of a piece; what is left at its end is dropped. With `shuffle` the order is another
    one in every epoch. (`fit` on NumPy arrays after `keras.utils.set_random_seed` repeats one order on TensorFlow.)

    Args:
        pieces: arrays of ids, each of shape (symbols,).
        length: T, the steps of a window.
        batch_size: n; the last batch of a pass may be smaller.
        stride: from the start of one window to that of the next; None: `length`, so that nothing is read twice.
        shuffle: whether the order is drawn anew in every epoch.
        seed: of the order, a whole number, or None for one that `keras.utils.set_random_seed` fixes.
        steps: batches in an epoch of `fit`, None for one pass; where it is another number, epochs go on where the
            last one stopped.

    Returns:
        `Batches`, a `tf.data.Dataset` of (x, y), each int32 of shape (n, T), of known length. Give it to `fit` with
        `shuffle=False`: it shuffles by itself, and Keras otherwise warns that its own shuffling does nothing.

    Raises:
        ValueError: if no piece has `length` + 1 symbols.

    >>> import numpy as np
    >>> from deeprnn_keras import token_windows
    >>> x, y = next(iter(token_windows([np.arange(7)], length=3, batch_size=2, shuffle=False)))
    >>> x.numpy().tolist(), y.numpy().tolist()
    ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """
    import tensorflow as tf

    from deeprnn_keras.data.batches import Batches, drawn_seed, fingerprint, shuffled

    length = checks.positive_int("length", length)
    batch_size = checks.positive_int("batch_size", batch_size)
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

    def order(number):
        chosen = starts[shuffled(len(starts), seed, number)] if shuffle else starts
        return ([chosen[first : first + batch_size] for first in range(0, len(chosen), batch_size)],)

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
    return Batches(order, [tf.TensorSpec((None,), tf.int64)], cut, about, steps)


def window_starts(lengths, length, stride=None):
    """Where windows of `length` + 1 symbols begin in pieces of these `lengths` laid end to end, int64."""
    stride = length if stride is None else checks.positive_int("stride", stride)
    offsets = np.cumsum([0, *lengths])[:-1]
    starts = [offset + np.arange(0, size - length, stride) for offset, size in zip(offsets, lengths, strict=True)]
    return np.concatenate([[], *starts]).astype("int64")
