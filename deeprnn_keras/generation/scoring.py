"""`score`: cross-entropy of a language model on text, with every symbol counted once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
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
    model: keras.Model, pieces: Iterable[ArrayLike], on_batch: Callable[[int, int], object] | None = None
) -> Score:
    """Return the score of a model on pieces of ids, with each symbol predicted from at least the 128 symbols before it.

    Symbols closer to the start of a piece are predicted from all symbols before them; the first symbol of a piece,
    which has none, is not counted. The pieces are read in overlapping windows; except at the start of a piece, the
    first 128 steps of a window only update the states.

    Args:
        model: Causal model from ids (n, T) to logits (n, T, V).
        pieces: Arrays of ids, each of shape (symbols,).
        on_batch: Function that is called with (number of finished batches, number of batches) after each batch.

    Raises:
        TypeError: If the ids are not integers.
        ValueError: If no piece has at least two symbols.
    """
    import keras

    windows = [window for piece in pieces for window in _windows(token_ids("pieces", piece))]
    if not windows:
        raise ValueError("pieces must contain a text of at least 2 symbols, got none; there is nothing to predict")
    x, y, counted = (np.stack(column) for column in zip(*windows, strict=True))
    batch_size = min(len(windows), max(1, LOGITS_PER_BATCH // (x.shape[1] * model.output_shape[-1])))
    starts = range(0, len(windows), batch_size)
    nats = 0.0
    for finished, start in enumerate(progress.tracked(starts, len(starts)), start=1):
        rows = np.arange(start, start + batch_size)
        batch = rows % len(windows)  # the first windows fill up the last batch: one shape, compiled once
        logits = model.predict_on_batch(x[batch])
        losses = keras.ops.sparse_categorical_crossentropy(y[batch], logits, from_logits=True)
        in_sum = counted[batch] & (rows < len(windows))[:, None]
        nats += float(np.sum(keras.ops.convert_to_numpy(losses), where=in_sum, dtype="float64"))
        if on_batch:
            on_batch(finished, len(starts))
    return Score(nats, int(counted.sum()))


def _windows(piece: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (inputs, targets, which targets are counted) of each window, CONTEXT + HOP steps, padded on the right."""
    for hop in range(0, len(piece) - 1, HOP):
        start, end = max(0, hop - CONTEXT), min(hop + HOP, len(piece) - 1)
        padding = CONTEXT + HOP - (end - start)
        positions = np.arange(start, start + CONTEXT + HOP)
        yield (
            np.pad(piece[start:end], (0, padding)),
            np.pad(piece[start + 1 : end + 1], (0, padding)),
            (positions >= hop) & (positions < end),
        )
