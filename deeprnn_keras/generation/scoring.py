"""`score`: how well a language model predicts a text, every character counted once."""

import math
from dataclasses import dataclass

import keras
import numpy as np

CONTEXT = 128
HOP = 384
LOGITS_PER_BATCH = 2**23  # 32 MB of float32


@dataclass(frozen=True)
class Score:
    """What a model's predictions of `count` symbols add up to, in nats."""

    nats: float
    count: int

    @property
    def cross_entropy(self):
        """Nats per symbol."""
        return self.nats / self.count

    @property
    def perplexity(self):
        """exp of the nats per symbol."""
        return math.exp(self.cross_entropy) if self.cross_entropy < 700 else math.inf

    @property
    def bits_per_character(self):
        """Bits per symbol, to compare with file sizes."""
        return self.cross_entropy / math.log(2)


def score(model, pieces, on_batch=None):
    """Scores `model` on `pieces` of ids: each symbol is predicted from at least 128 symbols before it, where there are.

    Windows overlap: the first 128 steps of a window only warm the state up. The first symbol of a piece, which
    nothing precedes, is not counted.

    Args:
        model: from ids (n, T) to logits (n, T, V), causal.
        pieces: arrays of ids, each of shape (symbols,).
        on_batch: called with (batches done, batches) after each.

    Returns:
        A `Score`.

    Raises:
        ValueError: if no piece has two symbols.
    """
    rows = [row for piece in pieces for row in _rows(np.asarray(piece))]
    if not rows:
        raise ValueError("there is nothing to predict: every piece of text has fewer than two symbols")
    x, y, counted = (np.stack(parts) for parts in zip(*rows, strict=True))
    size = min(len(rows), max(1, LOGITS_PER_BATCH // (x.shape[1] * model.output_shape[-1])))
    starts = range(0, len(rows), size)
    nats = 0.0
    for done, start in enumerate(starts, start=1):
        batch = np.arange(start, start + size) % len(rows)  # filled up from the front: one shape, one compile
        logits = model.predict_on_batch(x[batch])
        losses = keras.ops.sparse_categorical_crossentropy(y[batch], logits, from_logits=True)
        fresh = counted[batch] & (np.arange(start, start + size) < len(rows))[:, None]
        nats += float(np.sum(keras.ops.convert_to_numpy(losses), where=fresh, dtype="float64"))
        if on_batch:
            on_batch(done, len(starts))
    return Score(nats, int(counted.sum()))


def _rows(piece):
    """(inputs, targets, counted) of each window, all of CONTEXT + HOP steps, filled up at the right."""
    for hop in range(0, len(piece) - 1, HOP):
        start, end = max(0, hop - CONTEXT), min(hop + HOP, len(piece) - 1)
        fill = CONTEXT + HOP - (end - start)
        counted = np.arange(start, start + CONTEXT + HOP)
        yield (
            np.pad(piece[start:end], (0, fill)),
            np.pad(piece[start + 1 : end + 1], (0, fill)),
            (counted >= hop) & (counted < end),
        )
