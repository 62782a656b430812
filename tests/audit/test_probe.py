"""`probe_levels` on networks for which it is known from which levels a target is decodable."""

import keras
import numpy as np
import pytest

from deeprnn_keras import DeepRNN, probe_levels

T = 6


def summing_stack(inputs, levels):
    """Build a linear network in which each level outputs the cumulative sum of its input over time."""
    layer = DeepRNN(inputs, levels, "rnn", activation="linear", return_sequences=True, name="stack")
    model = keras.Sequential([keras.Input((None, inputs)), layer, keras.layers.Dense(1)])
    eye, zero = np.eye(inputs), np.zeros(inputs)
    layer.set_weights([eye, eye, zero] * levels)
    return model


def test_regression_finds_the_level_of_the_target(rng):
    """Sums over time are linear in level 1, sums of sums in level 2, neither in the input."""
    x = rng.normal(size=(80, T, 2))
    sums = np.cumsum(x[:, :, 0], 1)
    once, twice = (probe_levels(summing_stack(2, 2), x, target) for target in (sums, np.cumsum(sums, 1)))
    assert [(row.level, row.width) for row in once] == [("X", 2), ("H^(1)", 2), ("H^(2)", 2)]
    assert once.metric == "R²" and once.baseline == 0.0
    assert once[1].score > 0.999 > 0.9 > once[0].score and once.best.level == "H^(1)"
    assert twice[2].score > 0.999 > 0.97 > max(twice[0].score, twice[1].score) and twice.best.level == "H^(2)"


@pytest.mark.parametrize("names", [False, True], ids=["numbers", "names"])
def test_classification_at_the_last_step(rng, names):
    x = rng.normal(size=(200, T, 1))
    target = x.sum((1, 2)) > 0
    report = probe_levels(summing_stack(1, 1), x, np.where(target, "up", "down") if names else target)
    assert report.metric == "accuracy" and 0.3 < report.baseline < 0.7
    assert report[1].score > 0.95 > 0.8 > report[0].score


def test_masked_steps_are_excluded(rng):
    """The readout uses the last valid step and ignores targets at masked steps."""
    ids = rng.integers(1, 5, size=(100, T))
    lengths = rng.integers(1, T + 1, size=100)
    for row, length in enumerate(lengths):
        ids[row, length:] = 0
    embed = keras.layers.Embedding(5, 4, mask_zero=True)
    layer = DeepRNN(4, 1, "rnn", activation="linear", return_sequences=True)
    model = keras.Sequential([keras.Input((None,)), embed, layer])
    embed.set_weights([np.eye(5)[:, 1:]])
    layer.set_weights([np.eye(4), np.eye(4), np.zeros(4)])
    counts = (ids == 2).sum(1).astype("float32")
    assert probe_levels(model, ids, counts)[1].score > 0.999
    per_step = np.where(ids > 0, np.cumsum(ids == 2, 1), 1e6).astype("float32")
    assert probe_levels(model, ids, per_step)[1].score > 0.999


def test_one_long_sequence_is_split_in_time(rng):
    x = rng.normal(size=(1, 300, 1))
    report = probe_levels(summing_stack(1, 1), x, np.cumsum(x[:, :, 0], 1))
    assert report[1].score > 0.999


def test_split_depends_on_the_seed(rng):
    x, target = rng.normal(size=(30, T, 2)), rng.normal(size=30)
    model = summing_stack(2, 2)
    first, again, other = (probe_levels(model, x, target, seed=seed) for seed in (1, 1, 2))
    assert list(first) == list(again) != list(other)


def test_examples_without_a_target_are_left_out(rng):
    """NaN, None, and a mask leave out the same examples; a wrong target there changes nothing."""
    x, model = rng.normal(size=(200, T, 2)), summing_stack(2, 1)
    sums, known = np.cumsum(x[:, :, 0], 1), rng.random((200, T)) < 0.7
    missing = probe_levels(model, x, np.where(known, sums, np.nan))
    masked = probe_levels(model, x, np.where(known, sums, 1e6), mask=known)
    assert list(missing) == list(masked) and masked[1].score > 0.999
    names = np.where(sums[:, -1] > 0, "up", "down").astype(object)
    names[::3] = None
    assert probe_levels(model, x, names)[1].score > 0.8


def test_held_out_examples_are_chosen(rng):
    """The readout is fitted to the others: targets with the opposite sign have a low score."""
    x, model = rng.normal(size=(50, T, 2)), summing_stack(2, 1)
    sums, last = x[:, :, 0].sum(1), np.arange(50) >= 40
    turned = np.where(last, -sums, sums)
    reports = [probe_levels(model, x, turned, held_out=last), probe_levels(model, x, turned, split="last")]
    assert list(reports[0]) == list(reports[1]) and reports[0][1].score < -1
    assert probe_levels(model, x, turned, split="random")[1].score > 0
    steps = np.zeros((50, T), bool)
    steps[:, -1] = True
    per_step = np.cumsum(x[:, :, 0], 1) * np.where(steps, -1, 1)
    assert probe_levels(model, x, per_step, held_out=steps)[1].score < -1


def test_report_and_plot(rng, tmp_path):
    report = probe_levels(summing_stack(2, 2), rng.normal(size=(40, T, 2)), rng.normal(size=40))
    lines = str(report).splitlines()
    assert len(lines) == 5 and lines[1].startswith("X ") and lines[-1].startswith("baseline")
    assert report.plot(tmp_path / "levels.png").stat().st_size > 5000


def test_invalid_input_is_rejected(rng):
    x = rng.normal(size=(10, T, 2))
    model = summing_stack(2, 2)
    with pytest.raises(ValueError, match=r"target must have shape \(10,\) or \(10, T\) for this x, got \(9,\)"):
        probe_levels(model, x, np.zeros(9))
    with pytest.raises(ValueError, match=r"target must have shape \(10,\) or \(10, 6\)"):
        probe_levels(model, x, np.zeros((10, T + 1)))
    with pytest.raises(ValueError, match=r"target must be finite or NaN, got inf at \[3\]"):
        probe_levels(model, x, np.where(np.arange(10) == 3, np.inf, 0.0))
    with pytest.raises(ValueError, match=r"mask must be an array of booleans of shape \(10,\), got float64 \(10,\)"):
        probe_levels(model, x, np.zeros(10), mask=np.ones(10))
    with pytest.raises(ValueError, match=r"held_out must be .* of shape \(10, 6\) or \(10,\), got bool \(9,\)"):
        probe_levels(model, x, np.zeros((10, T)), held_out=np.ones(9, bool))
    with pytest.raises(ValueError, match="unknown split 'first'"):
        probe_levels(model, x, np.zeros(10), split="first")
    with pytest.raises(ValueError, match="at least one example with a target, got none"):
        probe_levels(model, x[:0], np.zeros(0))
    with pytest.raises(ValueError, match="valid steps to fit on and to score on, got 0 and 0"):
        probe_levels(model, x, np.full(10, np.nan))
    with pytest.raises(ValueError, match=r"held_out must be a number in \(0, 1\), got 1\.5"):
        probe_levels(model, x, np.zeros(10), held_out=1.5)
    with pytest.raises(ValueError, match="exactly one DeepRNN named 'other', found none"):
        probe_levels(model, x, np.zeros(10), layer="other")
    with pytest.raises(ValueError, match="exactly one DeepRNN in the model, found none"):
        probe_levels(keras.Sequential([keras.Input((None, 2)), keras.layers.LSTM(2)]), x, np.zeros(10))
