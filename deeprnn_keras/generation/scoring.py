"""`score`: cross-entropy of a language model on text, with every symbol counted once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras import progress
from deeprnn_keras._types import ArrayLike
from deeprnn_keras.data.values import token_ids

if TYPE_CHECKING:
    import keras

CONTEXT = 128  # steps at the start of a window that only update the states
HOP = 384  # following steps, whose targets are counted
LOGITS_PER_BATCH = 2**23  # 32 MB of float32


@dataclass(frozen=True)
class Score:
    """Negative log-likelihood of text under a language model.

    Attributes:
        nats: Negative log-likelihood of all counted symbols, in nats.
        count: Number of counted symbols.

    >>> from deeprnn_keras.generation import Score
    >>> score = Score(nats=20.0, count=10)
    >>> score.cross_entropy, round(score.perplexity, 3), round(score.bits_per_character, 3)
    (2.0, 7.389, 2.885)
    """

    nats: float
    count: int

    @property
    def cross_entropy(self) -> float:
        """Nats per symbol."""
        return self.nats / self.count

    @property
    def perplexity(self) -> float:
        """Exponential of the nats per symbol."""
        return math.exp(self.cross_entropy) if self.cross_entropy < 700 else math.inf

    @property
    def bits_per_character(self) -> float:
        """Bits per symbol, comparable with the sizes of compressed files."""
        return self.cross_entropy / math.log(2)


def score(
    model: keras.Model,
    pieces: Iterable[ArrayLike | Iterator[ArrayLike]],
    on_batch: Callable[[int, int | None], object] | None = None,
) -> Score:
    """Return the score of a model on pieces of ids, with each symbol predicted from at least the 128 symbols before it.

    Symbols closer to the start of a piece are predicted from all symbols before them; the first symbol of a piece,
    which has none, is not counted. The pieces are read in overlapping windows; except at the start of a piece, the
    first 128 steps of a window only update the states. Memory is needed for one batch of windows; pieces and chunks of
    an iterator are read on demand.

    Args:
        model: Causal model from ids (n, T) to logits (n, T, V).
        pieces: Arrays of ids, each of shape (symbols,); or an iterator over them. A piece may be an iterator over its
            chunks, which continue each other.
        on_batch: Function that is called with (number of finished batches, number of batches) after each batch. The
            second number is None if an iterator is passed.

    Raises:
        TypeError: If the ids are not integers.
        ValueError: If no piece has at least two symbols.

    >>> import numpy as np
    >>> from deeprnn_keras import LanguageModel
    >>> from deeprnn_keras.generation import score
    >>> score(LanguageModel(3, units=4), [np.array([0, 1, 2, 0]), np.array([2, 1])]).count
    4
    """
    import keras

    if not isinstance(pieces, Iterator):
        pieces = [piece if isinstance(piece, Iterator) else token_ids("pieces", piece) for piece in pieces]
    batch_size = max(1, LOGITS_PER_BATCH // ((CONTEXT + HOP) * model.output_shape[-1]))
    total = _num_batches(pieces, batch_size)
    windows = (window for piece in pieces for window in _windows(piece))
    batches = _batches(windows, batch_size)
    nats, count = 0.0, 0
    for finished, (x, y, counted) in enumerate(batches if total is None else progress.tracked(batches, total), start=1):
        logits = model.predict_on_batch(x)
        losses = keras.ops.sparse_categorical_crossentropy(y, logits, from_logits=True)
        nats += float(np.sum(keras.ops.convert_to_numpy(losses), where=counted, dtype="float64"))
        count += int(counted.sum())
        if on_batch:
            on_batch(finished, total)
    if not count:
        raise ValueError("pieces must contain a text of at least 2 symbols, got none; there is nothing to predict")
    return Score(nats, count)


def _num_batches(pieces: Iterable[np.ndarray | Iterator[ArrayLike]], batch_size: int) -> int | None:
    """Return the number of batches of the windows of all pieces, or None if it is unknown."""
    if isinstance(pieces, Iterator):
        return None
    windows = 0
    for piece in pieces:
        if isinstance(piece, Iterator):
            return None
        windows += max(0, -(-(len(piece) - 1) // HOP))
    return -(-windows // batch_size)


def _windows(piece: ArrayLike | Iterator[ArrayLike]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (inputs, targets, which targets are counted) of each window, CONTEXT + HOP steps, padded on the right."""
    ids, context = np.zeros(0, "int32"), 0  # the first `context` ids only update the states
    for chunk in piece if isinstance(piece, Iterator) else [piece]:
        chunk = token_ids("pieces", chunk)
        ids = np.concatenate([ids, chunk]) if len(ids) else chunk
        while len(ids) - context > HOP:
            yield _window(ids[: context + HOP + 1], context)
            dropped = max(0, context + HOP - CONTEXT)
            ids, context = ids[dropped:], context + HOP - dropped
    if len(ids) - context > 1:
        yield _window(ids, context)


def _window(ids: np.ndarray, context: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    padding = CONTEXT + HOP + 1 - len(ids)
    positions = np.arange(CONTEXT + HOP)
    return (
        np.pad(ids[:-1], (0, padding)),
        np.pad(ids[1:], (0, padding)),
        (positions >= context) & (positions < len(ids) - 1),
    )


def _batches(windows: Iterator[tuple[np.ndarray, ...]], batch_size: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield batches of equal size, for which the model is compiled once; repeated windows of the last do not count."""
    size = None
    while batch := list(islice(windows, batch_size)):
        size = size or len(batch)
        rows = np.arange(size)
        x, y, counted = (np.stack(column)[rows % len(batch)] for column in zip(*batch, strict=True))
        yield x, y, counted & (rows < len(batch))[:, None]
