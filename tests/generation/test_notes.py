"""`generate_notes`: distribution of the notes, reproducibility, and rejected arguments."""

import itertools

import keras
import numpy as np
import pytest

from deeprnn_keras import SequenceModel, lower
from deeprnn_keras.generation import notes


@pytest.fixture(scope="module")
def trained_model():
    """Return a model trained on a roll in which notes 5 and 9 alternate, and the roll."""
    keras.utils.set_random_seed(3)
    model = SequenceModel(12, 12, units=16, cell="gru", kind="notes", implementation="loop")
    model.compile(keras.optimizers.Adam(0.05), model.loss_function())
    roll = np.zeros((17, 12), "float32")
    roll[::2, 5] = roll[1::2, 9] = 1
    x, y = np.stack([roll[:-1], roll[1:]]), np.stack([roll[1:], np.concatenate([roll[2:], roll[1:2]])])
    model.fit(x, y, epochs=60, verbose=0)
    return model, roll


@pytest.mark.slow
def test_generated_music_continues_the_learned_pattern(trained_model):
    model, roll = trained_model
    generated = model.generate(roll[:2], length=10, temperature=0.2, seed=1)
    np.testing.assert_array_equal(generated, roll[:12])


def test_notes_are_drawn_with_their_probabilities(rng):
    logits = np.array([-2.0, 0.0, 1.0])
    for temperature in (1.0, 0.5):
        drawn = np.mean([notes._draw(logits / temperature, rng.random(3)) for _ in range(3000)], axis=0)
        np.testing.assert_allclose(drawn, 1 / (1 + np.exp(-logits / temperature)), atol=0.04)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_fixed_number_of_notes_follows_the_conditional_distribution(rng, count):
    """Compare with the probabilities of all frames with that number of notes, up to all keys."""
    logits = np.array([-3.0, 0.5, 2.0, -0.5, 1.0])
    frames = [np.isin(range(5), keys) for keys in itertools.combinations(range(5), count)]
    weight = np.array([np.exp(logits[frame].sum()) for frame in frames])
    expected = (weight[:, None] * frames).sum(0) / weight.sum()
    drawn = np.array([notes._draw_notes(logits, count, rng.random(5)) for _ in range(3000)])
    assert (drawn.sum(1) == count).all()
    np.testing.assert_allclose(drawn.mean(0), expected, atol=0.04)


@pytest.mark.slow
def test_every_frame_has_the_fixed_number_of_notes(trained_model):
    model, roll = trained_model
    assert (model.generate(roll[:1], 9, notes=3, seed=0)[1:].sum(1) == 3).all()
    with pytest.raises(ValueError, match="notes must be at most 12, the number of outputs of the model, got 13"):
        model.generate(roll[:1], 9, notes=13)


@pytest.mark.slow
def test_seed_determines_the_music(trained_model):
    model, roll = trained_model
    first, same, other = (model.generate(roll[:1], 12, temperature=5.0, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.any(first != other) and set(np.unique(first)) <= {0.0, 1.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "options", "message"),
    [
        (np.zeros((0, 12)), {}, r"start must be a piano roll \(T, 12\)"),
        (np.zeros((2, 11)), {}, r"start must be a piano roll \(T, 12\)"),
        (np.full((2, 12), 0.5), {}, "start must contain 0 and 1 only, got values from 0.5 to 0.5"),
        (np.zeros((2, 12)), {"length": 0}, "length must"),
        (np.zeros((2, 12)), {"temperature": 0.0}, "temperature must"),
    ],
    ids=range(5),
)
def test_invalid_arguments_are_rejected(trained_model, start, options, message):
    with pytest.raises(ValueError, match=message):
        trained_model[0].generate(start, **options)


def test_frames_do_not_depend_on_the_length_or_on_keras(rng):
    model = SequenceModel(5, 5, units=4, kind="notes")
    start = rng.integers(2, size=(3, 5))
    roll = notes.generate_notes(model, start, 70, seed=1)
    np.testing.assert_array_equal(notes.generate_notes(lower(model), start, 9, seed=1), roll[:12])
    assert np.any(notes.generate_notes(model, start, 9, seed=2) != roll[:12])


def test_generate_is_supported_for_notes_only():
    with pytest.raises(ValueError, match=r"generate is supported for kind='notes' only, .* of kind='classes'"):
        SequenceModel(2, 3, units=4).generate(np.zeros((1, 2)))
