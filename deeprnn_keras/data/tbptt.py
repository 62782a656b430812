"""`TBPTTDataset`: a long stream as batches that follow each other, for truncated back-propagation through time."""

import numpy as np
import tensorflow as tf

from deeprnn_keras import checks
from deeprnn_keras.data.batches import Batches, compact, drawn_seed, fingerprint
from deeprnn_keras.data.stream_plan import fixed_length_plan, random_length_plan


class TBPTTDataset(Batches):
    """Cuts a stream into n contiguous lanes and goes through them side by side, T steps at a time.

    Row i of every batch is lane i, and goes on where row i of the batch before it stopped: a stateful layer carries its
    state across, while gradients flow back through the T steps of one batch (Williams & Peng 1990).

    Args:
        stream: ids (N,) or features (N, d), one step per row; or a list of such arrays, pieces that do not follow each
            other. What does not fill a batch or, of a piece, T steps is dropped.
        batch_size: n, the number of lanes.
        bptt: T.
        targets: one per step, of the same form as `stream`; None: the step that follows.
        reset_mask: yield (x, reset_mask) for x: reset_mask (n,) of bool is True for rows whose state is reset, in the
            first batch of an epoch and where a lane comes to another piece.
        random_bptt: draw T anew for each batch, from N(T, 5), one time in twenty N(T/2, 5), at least 5 (Merity et al.
            2017); every epoch has as many batches, and reads the whole stream: lengths are moved by a few steps to
            that end. Pieces are read as one stream. The learning rate should go with T: `LearningRate(..., data)`,
            or a `Recipe`, sees to it.
        num_symbols: V, to have ids checked; None: they are not.
        seed: of the lengths, a whole number, or None for one that `keras.utils.set_random_seed` fixes.
        steps: batches in an epoch of `fit`; None: one pass over the lanes.

    Yields (x, y) or ((x, reset_mask), y): x (n, T) or (n, T, d), y (n, T, ...). Give it to `fit` with `shuffle=False`,
    or Keras warns that its shuffling does nothing.

    Attributes:
        bptt, random_bptt: as given.

    Raises:
        ValueError: if there are fewer than n T steps (and one, where targets are the next), a piece is empty, ids are
            outside the vocabulary, targets of another form, or sizes out of range.

    >>> import keras, numpy as np
    >>> from deeprnn_keras import DeepRNN, TBPTTDataset
    >>> data = TBPTTDataset(np.arange(9), batch_size=2, bptt=2)
    >>> [(x.numpy().tolist(), reset_mask.numpy().tolist()) for (x, reset_mask), y in data]
    [([[0, 1], [4, 5]], [True, True]), ([[2, 3], [6, 7]], [False, False])]
    """

    def __init__(
        self,
        stream,
        batch_size,
        bptt,
        *,
        targets=None,
        reset_mask=True,
        random_bptt=False,
        num_symbols=None,
        seed=None,
        steps=None,
    ):
        n, length = checks.positive_int("batch_size", batch_size), checks.positive_int("bptt", bptt)
        pieces = _pieces("stream", stream)
        ahead = int(targets is None)
        wanted = None if targets is None else _targets(targets, pieces)
        if num_symbols is not None:
            symbols = checks.positive_int("num_symbols", num_symbols)
            _check_ids([*pieces, *(wanted or [])], symbols)
        sizes = [len(piece) - ahead for piece in pieces]
        if random_bptt:
            seed = drawn_seed(seed)
            plan = random_length_plan(sum(map(len, pieces)) - ahead, n, length, seed)
        else:
            plan, seed = fixed_length_plan(sizes, n, length, ahead), None
        values = compact(np.concatenate(pieces))
        answers = values[1:] if wanted is None else compact(np.concatenate(wanted))
        self.bptt, self.random_bptt = length, bool(random_bptt)
        about = {"kind": "streams", "stream": fingerprint(values), "n": n, "T": length, "random T": bool(random_bptt)}
        about |= {"targets": "the next step" if wanted is None else fingerprint(answers), "seed": seed}
        signature = [tf.TensorSpec((n,), tf.int64), tf.TensorSpec((), tf.int64), tf.TensorSpec((n,), tf.bool)]
        fixed = None if random_bptt else length
        super().__init__(plan, signature, _cutter(values, answers, fixed, reset_mask), about, steps)

    @classmethod
    def from_streams(cls, lanes, bptt, **options):
        """Lanes that are there already: a list of n arrays as long as each other, one per row of a batch.

        Raises:
            ValueError: if they are not.
        """
        lengths = [len(lane) for lane in lanes]
        if len(set(lengths)) > 1:
            shortest, longest = int(np.argmin(lengths)), int(np.argmax(lengths))
            raise ValueError(
                f"lanes must be as long as each other, but lane {shortest} has {lengths[shortest]} steps and lane "
                f"{longest} has {lengths[longest]}; cut them, or give them as pieces to TBPTTDataset itself"
            )
        return cls(list(lanes), len(lanes), bptt, **options)

    def lengths(self, epoch):
        """T of each batch of an epoch, (steps,)."""
        return np.array([row[1] for row in self.rows_of(epoch)])


def _pieces(name, stream):
    pieces = [np.asarray(piece) for piece in stream] if isinstance(stream, (list, tuple)) else [np.asarray(stream)]
    if pieces and all(piece.ndim == 0 for piece in pieces):
        pieces = [np.asarray(stream)]
    for number, piece in enumerate(pieces):
        if piece.ndim not in (1, 2) or piece.shape[1:] != pieces[0].shape[1:]:
            raise ValueError(
                f"{name} must be ids (N,) or features (N, d), or a list of such arrays of equal d; "
                f"piece {number} has shape {piece.shape}"
            )
        if not len(piece):
            raise ValueError(f"{name}: piece {number} is empty; leave it out")
    if not pieces:
        raise ValueError(f"{name} must have at least one piece, got an empty list")
    return pieces


def _targets(targets, pieces):
    given = [np.asarray(piece) for piece in targets] if isinstance(targets, (list, tuple)) else [np.asarray(targets)]
    lengths, wanted = [len(piece) for piece in given], [len(piece) for piece in pieces]
    if lengths != wanted:
        raise ValueError(f"targets must have one row per step of stream, {wanted} in its pieces, got {lengths}")
    return given


def _check_ids(pieces, size):
    for number, piece in enumerate(pieces):
        wrong = np.flatnonzero((piece < 0) | (piece >= size))
        if len(wrong):
            raise ValueError(
                f"ids must be at least 0 and below num_symbols={size}, but {len(wrong)} are not: the first is "
                f"{piece.flat[wrong[0]]} at position {wrong[0]} of piece {number}"
            )


def _cutter(values, answers, length, reset_mask):
    inputs, outputs = tf.constant(values), tf.constant(answers)

    def cut(offsets, steps, fresh):
        within = tf.range(steps if length is None else tf.constant(length, tf.int64))
        places = offsets[:, None] + within
        x, y = tf.gather(inputs, places), tf.gather(outputs, places)
        return ((x, fresh), y) if reset_mask else (x, y)

    return cut
