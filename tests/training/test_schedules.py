"""Learning-rate schedules, compared with formulas and with published values."""

import math

import numpy as np
import pytest

from deeprnn_keras import zoo
from deeprnn_keras.training import CosineDecay, GeometricDecay


def per_epoch(schedule, epochs, updates_per_epoch=7):
    """Return the factors of the first and last update of each epoch."""
    updates = epochs * updates_per_epoch
    factors = [schedule.factor(update, updates_per_epoch, updates) for update in range(updates)]
    return [(factors[k], factors[k + updates_per_epoch - 1]) for k in range(0, updates, updates_per_epoch)]


def test_zaremba_halves_the_learning_rate_from_epoch_5():
    got = per_epoch(zoo.info("zaremba_small").recipe.schedule, 8)
    assert got == [(factor, factor) for factor in (1, 1, 1, 1, 0.5, 0.25, 0.125, 0.0625)]


@pytest.mark.parametrize(
    ("name", "full", "ratio"),
    [("zaremba_medium", 6, 0.8), ("zaremba_large", 14, 1 / 1.15), ("char_rnn_2x128", 10, 0.97)],
)
def test_published_decays(name, full, ratio):
    got = per_epoch(zoo.info(name).recipe.schedule, full + 3)
    assert got[:full] == [(1, 1)] * full
    for epoch in (0, 1, 2):
        assert got[full + epoch] == (pytest.approx(ratio ** (epoch + 1)), pytest.approx(ratio ** (epoch + 1)))


def test_cosine_values():
    schedule = CosineDecay(final=0.2, warmup=0.0)
    got = [schedule.factor(update, 5, 5) for update in range(5)]
    half = math.sqrt(0.5)
    np.testing.assert_allclose(got, [1, 0.6 + 0.4 * half, 0.6, 0.6 - 0.4 * half, 0.2], rtol=1e-12)


def test_warm_up_values():
    """The factor increases in equal steps over the first 4 of 20 updates; the cosine then decreases from 1."""
    schedule = CosineDecay(final=0.1, warmup=0.2)
    got = [schedule.factor(update, 10, 20) for update in range(20)]
    np.testing.assert_allclose(got[:5], [0.2, 0.4, 0.6, 0.8, 1.0], rtol=1e-12)
    assert got[19] == pytest.approx(0.1)
    assert np.all(np.diff(got[4:]) < 0)


@pytest.mark.parametrize("updates", [1, 2, 3])
def test_cosine_over_few_updates_stays_in_range(updates):
    schedule = CosineDecay(final=0.1, warmup=0.5)
    assert all(0 < schedule.factor(update, 1, updates) <= 1 for update in range(updates))


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: CosineDecay(final=1.0), "final"),
        (lambda: CosineDecay(final=-0.1), "final"),
        (lambda: CosineDecay(warmup=1.0), "warmup"),
        (lambda: GeometricDecay(0.0, 1), "ratio"),
        (lambda: GeometricDecay(math.inf, 1), "ratio"),
        (lambda: GeometricDecay(0.5, 0), "after"),
    ],
)
def test_message_names_the_argument(make, argument):
    with pytest.raises(ValueError, match=f"^{argument} must"):
        make()
