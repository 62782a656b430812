"""Every generative entry of the zoo at a small size: train, generate, save, load, generate the same."""

import keras
import numpy as np
import pytest
from zoo_models import BUILDABLE

from deeprnn_keras import zoo

SYMBOLS = {"characters": "abcde", "words": ("<unk>", "<eos>", "a", "b", "c"), "bytes": "abcde"}


def small_language_model(name):
    config = zoo.info(name)
    changed = {"head_units": (3,)} if config.head_units else {}
    changed |= {"projection": 3} if config.projection else {}
    vocabulary = 256 if config.symbols == "bytes" and config.vocabulary == 256 else SYMBOLS[config.symbols]
    return zoo.create_model(name, units=4, num_layers=1, vocabulary=vocabulary, **changed)


def train(model, x, y):
    before = model.get_weights()
    model.train_on_batch(x, y)
    assert any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def loaded(model, directory):
    model.save(directory / "model.keras")
    return keras.models.load_model(directory / "model.keras")


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", [name for name in BUILDABLE if zoo.info(name).task == "language"])
def test_language_model_continues_a_text(name, rng, tmp_path):
    model = small_language_model(name)
    x = rng.integers(5, size=(2, 3))
    train(model, [x, np.ones(2, bool)] if len(model.inputs) == 2 else x, x)
    prompt = "a b" if zoo.info(name).symbols == "words" else "abc"
    text = model.generate(prompt, 4, seed=0)
    assert text.startswith("a") and len(text) > len(prompt)
    assert loaded(model, tmp_path).generate(prompt, 4, seed=0) == text


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", zoo.list_models(task="music"))
def test_music_model_continues_a_piano_roll(name, rng, tmp_path):
    model = zoo.create_model(name, units=4, num_layers=1)
    x = rng.integers(2, size=(2, 3, 88)).astype("float32")
    train(model, x, x)
    roll = model.generate(x[0], 3, seed=0)
    assert roll.shape == (6, 88)
    np.testing.assert_array_equal(loaded(model, tmp_path).generate(x[0], 3, seed=0), roll)
