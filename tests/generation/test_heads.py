"""Generation with Keras models: every head, current weights, layers that look ahead, and Keras' own layers."""

import keras
import numpy as np
import pytest
from small_models import randomized

from deeprnn_keras import DeepRNN, LanguageModel, SequenceModel, generate

HEADS = {
    "dense": {},
    "tied": {"embedding": 4, "tied": True},
    "tied projection": {"embedding": 3, "projection": 3, "tied": True},
    "tied and stateful": {"embedding": 4, "tied": True, "stateful": True},
    "hidden layers": {"head_units": [3, 3]},
    "hidden layers and projection": {"head_units": [3], "projection": 2, "embedding": 3},
    "mixed precision": {"embedding": 4, "tied": True, "dtype": "mixed_bfloat16"},
    "dilation": {"num_layers": 2, "dilation": [1, 2]},
}
LAST = 50.0  # a bias that makes a symbol certain

pytestmark = pytest.mark.usefixtures("eager")


@pytest.mark.parametrize("options", HEADS.values(), ids=HEADS.keys())
def test_text_follows_the_logits_of_the_whole_model(options, rng):
    model = randomized(LanguageModel("abcde", 4, **options), rng)
    ids = list(model.vocabulary.encode("abc"))
    for _ in range(3):
        ids.append(int(np.argmax(model(np.array([ids]))[0, -1])))
    assert model.generate("abc", 3, temperature=0) == model.vocabulary.decode(ids)
    assert "abc" + "".join(model.generate_stream("abc", 3, temperature=0)) == model.vocabulary.decode(ids)


@pytest.mark.parametrize("options", [{"offset": -0.5, "scale": 2.0}, {"head_units": [3]}], ids=str)
def test_notes_follow_the_logits_of_the_whole_model(options, rng):
    model = randomized(SequenceModel(4, 4, 3, kind="notes", **options), rng, scale=2.0)
    roll = rng.integers(2, size=(3, 4)).astype("float32")
    generated = model.generate(roll, 2, temperature=1e-6, seed=0)
    for _ in range(2):
        roll = np.concatenate([roll, model(roll[None])[0, -1:] > 0])
    np.testing.assert_array_equal(generated, roll)


def test_keras_model_with_probabilities_of_the_last_step(rng):
    """A model that Keras' tutorials train on windows."""
    layers = [keras.Input((None,)), keras.layers.Embedding(5, 3), keras.layers.LSTM(4)]
    model = randomized(keras.Sequential([*layers, keras.layers.Dense(5, activation="softmax")]), rng)
    ids = [1, 4]
    for _ in range(4):
        ids.append(int(np.argmax(model(np.array([ids]))[0])))
    np.testing.assert_array_equal(generate(model, [1, 4], 4, temperature=0), ids)
    assert len(set(generate(model, [1, 4], 200, seed=0).tolist())) == 5


def test_current_weights_are_used():
    model = LanguageModel("abcde", 4)
    model.generate("abc", 3, seed=0)
    head = model.get_layer("head")
    head.set_weights([0 * head.weights[0], np.array([0, 0, 0, LAST, 0])])
    assert model.generate("abc", 3, seed=1) == "abcddd"


def test_layer_that_looks_ahead_is_refused_by_name():
    layers = [keras.Input((None,)), keras.layers.Embedding(5, 3)]
    layers += [DeepRNN(2, bidirectional=True, return_sequences=True, name="both_ways"), keras.layers.Dense(5)]
    with pytest.raises(ValueError, match="both_ways"):
        generate(keras.Sequential(layers), [1], 3)
