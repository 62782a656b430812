"""Scores of texts, against plain NumPy."""

import math

import numpy as np
import pytest
from small_models import V, ids, in_chunks, small_model

from deeprnn_keras.generation import Score, score, scoring, with_state


def nats_by_numpy(logits, targets):
    """Sum of -log softmax(logits)[target] in float64."""
    logits = np.asarray(logits, "float64")
    log_sum = np.log(np.sum(np.exp(logits - logits.max(-1, keepdims=True)), -1)) + logits.max(-1)
    return float(np.sum(log_sum - np.take_along_axis(logits, targets[..., None], -1)[..., 0]))


@pytest.mark.parametrize("size", [2, 3, 50, 385])
def test_score_of_a_piece_within_one_window(rng, size):
    model, piece = small_model(rng), ids(rng, size)
    got = score(model, [piece])
    wanted = nats_by_numpy(model.predict_on_batch(piece[None, :-1])[0], piece[1:])
    assert got.count == size - 1
    assert got.nats == pytest.approx(wanted, rel=1e-6)


LENGTHS = (1, 2, 384, 385, 1000)


@pytest.mark.parametrize("batches", [1, 2, 6])
def test_score_counts_every_symbol_once(rng, monkeypatch, batches):
    """A model that forgets within 128 steps: windows then give what one pass over the whole piece gives."""
    model = small_model(rng, cell="gru", units=6)
    pieces = [ids(rng, size) for size in LENGTHS]
    # 6 windows of 512 steps: one each for 2, 384 and 385 symbols, three for 1000; in two batches: 4 and 2
    monkeypatch.setattr(scoring, "LOGITS_PER_BATCH", {1: 2**23, 2: 512 * V * 4, 6: 1}[batches])
    seen = []
    got = score(model, pieces, on_batch=lambda *done: seen.append(done))
    stepper, wanted = with_state(model), 0.0
    for piece in pieces[1:]:
        wanted += nats_by_numpy(in_chunks(stepper, piece[None, :-1], [len(piece) - 1])[0], piece[1:])
    assert got.count == sum(size - 1 for size in LENGTHS)
    assert got.nats == pytest.approx(wanted, rel=1e-5)
    assert seen == [(done, batches) for done in range(1, batches + 1)]


class Positions:
    """A model with V = 2 whose loss on symbol 0 at place t of its window is log(1 + e^t): it shows what is counted."""

    output_shape = (None, None, 2)

    def predict_on_batch(self, x):
        logits = np.zeros((*x.shape, 2), "float32")
        logits[..., 1] = np.arange(x.shape[1])
        return logits


@pytest.mark.parametrize("size", LENGTHS[1:])
def test_symbols_are_predicted_from_at_least_128_before_them(size):
    places = [t if t < 384 else 128 + t % 384 for t in range(size - 1)]
    got = score(Positions(), [np.zeros(size, "int32")])
    assert got.nats == pytest.approx(float(np.sum(np.logaddexp(0, places))), rel=1e-6)


def test_score_in_other_units():
    result = Score(nats=30.0 * math.log(8), count=30)
    assert result.cross_entropy == pytest.approx(math.log(8))
    assert result.perplexity == pytest.approx(8)
    assert result.bits_per_character == pytest.approx(3)
    assert Score(nats=1e6, count=1).perplexity == math.inf


@pytest.mark.parametrize("pieces", [[], [np.zeros(1, "int32")] * 3], ids=len)
def test_nothing_to_score(rng, pieces):
    with pytest.raises(ValueError, match="nothing to predict"):
        score(small_model(rng), pieces)
