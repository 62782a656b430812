"""`score` compared with NumPy."""

import math

import numpy as np
import pytest
from small_models import V, ids, small_model

from deeprnn_keras.generation import Score, score, scoring


def nats_by_numpy(logits, targets):
    """Return the sum of -log softmax(logits)[target] in float64."""
    logits = np.asarray(logits, "float64")
    log_sum = np.log(np.sum(np.exp(logits - logits.max(-1, keepdims=True)), -1)) + logits.max(-1)
    return float(np.sum(log_sum - np.take_along_axis(logits, targets[..., None], -1)[..., 0]))


@pytest.mark.parametrize("size", [2, 3, 50, 385])
def test_score_of_a_piece_within_one_window(rng, size):
    model, piece = small_model(rng), ids(rng, size)
    result = score(model, [piece])
    expected = nats_by_numpy(model.predict_on_batch(piece[None, :-1])[0], piece[1:])
    assert result.count == size - 1
    assert result.nats == pytest.approx(expected, rel=1e-6)


LENGTHS = (1, 2, 384, 385, 1000)


@pytest.mark.parametrize("batches", [1, 2, 6])
def test_score_counts_every_symbol_once(rng, monkeypatch, batches):
    """Compare with one pass over each piece; the states of this model forget inputs within fewer than 128 steps."""
    model = small_model(rng, cell="gru", units=6)
    pieces = [ids(rng, size) for size in LENGTHS]
    # 6 windows of 512 steps: one each for 2, 384, and 385 symbols, and 3 for 1,000; in two batches: 4 and 2
    monkeypatch.setattr(scoring, "LOGITS_PER_BATCH", {1: 2**23, 2: 512 * V * 4, 6: 1}[batches])
    calls = []
    result = score(model, pieces, on_batch=lambda *progress: calls.append(progress))
    expected = 0.0
    for piece in pieces[1:]:
        expected += nats_by_numpy(model.predict_on_batch(piece[None, :-1])[0], piece[1:])
    assert result.count == sum(size - 1 for size in LENGTHS)
    assert result.nats == pytest.approx(expected, rel=1e-5)
    assert calls == [(finished, batches) for finished in range(1, batches + 1)]


class Positions:
    """Model with V = 2 whose loss for symbol 0 at position t of a window is log(1 + e^t), which identifies t."""

    output_shape = (None, None, 2)

    def predict_on_batch(self, x):
        logits = np.zeros((*x.shape, 2), "float32")
        logits[..., 1] = np.arange(x.shape[1])
        return logits


@pytest.mark.parametrize("size", LENGTHS[1:])
def test_symbols_are_predicted_from_at_least_128_before_them(size):
    positions = [t if t < 384 else 128 + t % 384 for t in range(size - 1)]
    result = score(Positions(), [np.zeros(size, "int32")])
    assert result.nats == pytest.approx(float(np.sum(np.logaddexp(0, positions))), rel=1e-6)


def test_score_in_other_units():
    result = Score(nats=30.0 * math.log(8), count=30)
    assert result.cross_entropy == pytest.approx(math.log(8))
    assert result.perplexity == pytest.approx(8)
    assert result.bits_per_character == pytest.approx(3)
    assert Score(nats=1e6, count=1).perplexity == math.inf


@pytest.mark.parametrize("pieces", [[], [np.zeros(1, "int32")] * 3], ids=len)
def test_pieces_without_a_target_are_an_error(rng, pieces):
    with pytest.raises(ValueError, match="pieces must contain a text of at least 2 symbols"):
        score(small_model(rng), pieces)
