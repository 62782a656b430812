"""`TBPTTDataset`: consecutive batches of a long stream, for truncated backpropagation through time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from deeprnn_keras import checks
from deeprnn_keras._types import ArrayLike, Tensor
from deeprnn_keras.data.batches import Batches, fingerprint, resolve_seed
from deeprnn_keras.data.stream_plan import fixed_length_plan, random_length_plan
from deeprnn_keras.data.values import numeric_array, to_model_dtype


class TBPTTDataset(Batches):
    """Dataset that splits a stream into n contiguous parallel streams and reads T steps of each per batch.

    Row i of every batch continues row i of the previous batch. A stateful layer carries its states from batch to
    batch, while gradients are propagated through the T steps of one batch (Williams & Peng 1990). Pass the dataset to
    `fit` with `shuffle=False`; otherwise Keras warns that its own shuffling has no effect.

    Args:
        stream: Ids (N,) or features (N, d), one row per step; or a list of such arrays, pieces that do not continue
            each other. A single stream is read completely, except for less than n steps at its end. So are pieces of
            equal length whose number is a multiple of n. Of other pieces, the remainder that is shorter than T is
            dropped, as are chunks of T steps that do not fill a batch.
        batch_size: Number of parallel streams, n.
        bptt: Number of steps per batch, T. The last batch of a pass, or of pieces of equal length, may have fewer.
        targets: One target per step, in the form of `stream`. None: the next step.
        reset_mask: If True, yield (x, reset_mask) as inputs. The mask (n,) of bool is True for rows whose states must
            be reset: all rows of the first batch of a pass, and rows that start a new piece.
        random_bptt: If True, draw the length of each batch from N(T, 5²), or with probability 0.05 from N(T / 2, 5²),
            at least 5 (Merity et al. 2017). Lengths are then adjusted by a few steps so that every pass reads the whole
            stream in the same number of batches. Pieces are read as one stream. The learning rate should be
            proportional to the length of each batch; `LearningRate(..., data)` and `Recipe` scale it accordingly.
        num_symbols: Number of different ids, V. If set, ids are checked to be in [0, V).
        seed: Random seed of the lengths. None draws one that `keras.utils.set_random_seed` determines.
        steps: Number of batches per epoch of `fit`. None: one pass over the streams.

    Yields:
        (x, y) or ((x, reset_mask), y), with x (n, T) or (n, T, d), and y (n, T, ...).

    Attributes:
        bptt: T.
        random_bptt: True if lengths are random.

    Raises:
        ValueError: If the stream has fewer than n T steps (one more if the next step is the target), if a piece is
            empty, if ids are out of range, if the targets do not match the stream, or if a size is out of range.

    >>> import keras, numpy as np
    >>> from deeprnn_keras import DeepRNN, TBPTTDataset
    >>> data = TBPTTDataset(np.arange(9), batch_size=2, bptt=2)
    >>> [(x.numpy().tolist(), reset_mask.numpy().tolist()) for (x, reset_mask), y in data]
    [([[0, 1], [4, 5]], [True, True]), ([[2, 3], [6, 7]], [False, False])]
    """

    def __init__(
        self,
        stream: ArrayLike | Sequence[ArrayLike],
        batch_size: int,
        bptt: int,
        *,
        targets: ArrayLike | Sequence[ArrayLike] | None = None,
        reset_mask: bool = True,
        random_bptt: bool = False,
        num_symbols: int | None = None,
        seed: int | None = None,
        steps: int | None = None,
    ) -> None:
        batch_size, length = checks.positive_int("batch_size", batch_size), checks.positive_int("bptt", bptt)
        reset_mask, random_bptt = checks.flags(reset_mask=reset_mask, random_bptt=random_bptt)
        seed = checks.seed("seed", seed)
        pieces = _pieces(stream)
        lookahead = int(targets is None)
        target_pieces = None if targets is None else _target_pieces(targets, pieces)
        if num_symbols is not None:
            _check_ids([*pieces, *(target_pieces or [])], checks.positive_int("num_symbols", num_symbols))
        if random_bptt:
            seed = resolve_seed(seed)
            plan = random_length_plan(sum(map(len, pieces)) - lookahead, batch_size, length, seed)
        else:
            seed = None
            plan = fixed_length_plan([len(piece) - lookahead for piece in pieces], batch_size, length, lookahead)
        inputs = _concatenate("stream", pieces)
        outputs = inputs[1:] if target_pieces is None else _concatenate("targets", target_pieces)
        self.bptt, self.random_bptt = length, random_bptt
        about = {
            "kind": "streams",
            "stream": fingerprint(inputs),
            "n": batch_size,
            "T": length,
            "random T": random_bptt,
            "targets": "the next step" if target_pieces is None else fingerprint(outputs),
            "seed": seed,
        }
        signature = [
            tf.TensorSpec((batch_size,), tf.int64),
            tf.TensorSpec((), tf.int64),
            tf.TensorSpec((batch_size,), tf.bool),
        ]
        lengths = plan(0)[1]
        if not random_bptt and lengths[-1] < length:
            about["last T"] = int(lengths[-1])
        make_batch = _batch_maker(inputs, outputs, length if (lengths == length).all() else None, reset_mask)
        super().__init__(plan, signature, make_batch, about, steps)

    @classmethod
    def from_streams(cls, streams: Sequence[ArrayLike], bptt: int, **options: Any) -> TBPTTDataset:
        """Return a dataset of n given parallel streams.

        Args:
            streams: n arrays of equal length, one per row of a batch.
            bptt: Number of steps per batch, T.
            **options: Other arguments of `TBPTTDataset`.

        Raises:
            ValueError: If the streams have different lengths.
        """
        lengths = [len(stream) for stream in streams]
        if len(set(lengths)) > 1:
            shortest, longest = int(np.argmin(lengths)), int(np.argmax(lengths))
            raise ValueError(
                f"streams must have equal lengths, got {lengths[shortest]} steps for stream {shortest} and "
                f"{lengths[longest]} for stream {longest}; truncate them, or pass them to TBPTTDataset as pieces"
            )
        return cls(list(streams), len(streams), bptt, **options)

    def lengths(self, epoch: int) -> np.ndarray:
        """Return T of each batch of an epoch, (steps,)."""
        return np.array([length for _, length, _ in self.epoch_plan(epoch)])


def _arrays(name: str, values: ArrayLike | Sequence[ArrayLike]) -> list[np.ndarray]:
    """Return a list of arrays as arrays, and an array or a list of numbers as one array."""
    several = isinstance(values, (list, tuple)) and any(np.ndim(entry) > 0 for entry in values)
    if isinstance(values, (list, tuple)) and not values:
        return []
    return [numeric_array(name, piece) for piece in (values if several else [values])]


def _concatenate(name: str, pieces: list[np.ndarray]) -> np.ndarray:
    """Return the steps of all pieces as int32 or float32."""
    return to_model_dtype(name, np.concatenate(pieces), lambda row: f"step {row}")


def _pieces(stream: ArrayLike | Sequence[ArrayLike]) -> list[np.ndarray]:
    """Return a stream as a list of arrays, one per piece."""
    pieces = _arrays("stream", stream)
    for number, piece in enumerate(pieces):
        if piece.ndim not in (1, 2) or piece.shape[1:] != pieces[0].shape[1:]:
            raise ValueError(
                "stream must be ids (N,) or features (N, d), or a list of such arrays with the same d, "
                f"got shape {piece.shape} for piece {number}"
            )
        if not len(piece):
            raise ValueError(f"stream must have no empty pieces, but piece {number} is empty; remove it")
    if not pieces:
        raise ValueError("stream must have at least 1 piece, got an empty list")
    return pieces


def _target_pieces(targets: ArrayLike | Sequence[ArrayLike], pieces: list[np.ndarray]) -> list[np.ndarray]:
    """Return targets as a list of arrays with one row per step of each piece."""
    arrays = _arrays("targets", targets)
    found, expected = [len(array) for array in arrays], [len(piece) for piece in pieces]
    if found != expected:
        raise ValueError(f"targets must have one row per step of each piece of stream, {expected}, got {found}")
    return arrays


def _check_ids(pieces: list[np.ndarray], num_symbols: int) -> None:
    for number, piece in enumerate(pieces):
        if piece.dtype.kind not in "iu":
            raise ValueError(f"ids must be integers for num_symbols={num_symbols}, got {piece.dtype} in piece {number}")
        invalid = np.flatnonzero((piece < 0) | (piece >= num_symbols))
        if len(invalid):
            raise ValueError(
                f"ids must be in [0, num_symbols={num_symbols}), but {len(invalid)} are not: the first is "
                f"{piece.flat[invalid[0]]} at position {invalid[0]} of piece {number}"
            )


def _batch_maker(
    inputs: np.ndarray, outputs: np.ndarray, length: int | None, yield_reset_mask: bool
) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the function from a row of the plan to a batch; `length` is T if all batches have T steps."""
    input_steps, output_steps = tf.constant(inputs), tf.constant(outputs)

    def make_batch(offsets: Tensor, steps: Tensor, reset_mask: Tensor) -> tuple[Tensor, Tensor]:
        within = tf.range(steps if length is None else tf.constant(length, tf.int64))
        positions = offsets[:, None] + within
        x, y = tf.gather(input_steps, positions), tf.gather(output_steps, positions)
        return ((x, reset_mask), y) if yield_reset_mask else (x, y)

    return make_batch
