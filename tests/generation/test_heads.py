"""Generation with every head, and repeated generation, which reuses the graphs of the first."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import randomized

from deeprnn_keras import LanguageModel, SequenceModel
from deeprnn_keras.generation.stepwise import current_stepper

HEADS = {
    "dense": {},
    "tied": {"embedding": 4, "tied": True},
    "tied projection": {"embedding": 3, "projection": 3, "tied": True},
    "tied and stateful": {"embedding": 4, "tied": True, "stateful": True},
    "hidden layers": {"head_units": [3, 3]},
    "hidden layers and projection": {"head_units": [3], "projection": 2, "embedding": 3},
    "mixed precision": {"embedding": 4, "tied": True, "dtype": "mixed_bfloat16"},
}
LAST = 50.0  # a bias that makes a symbol certain


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("options", HEADS.values(), ids=HEADS.keys())
def test_text_follows_the_logits_of_the_whole_model(options, rng):
    model = randomized(LanguageModel("abcde", 4, **options), rng)
    ids = list(model.vocabulary.encode("abc"))
    for _ in range(3):
        ids.append(int(np.argmax(model(np.array([ids]))[0, -1])))
    assert model.generate("abc", 3, temperature=1e-6, seed=0) == model.vocabulary.decode(ids)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("options", [{"offset": -0.5, "scale": 2.0}, {"head_units": [3]}], ids=str)
def test_notes_follow_the_logits_of_the_whole_model(options, rng):
    model = randomized(SequenceModel(4, 4, 3, kind="notes", **options), rng, scale=2.0)
    roll = rng.integers(2, size=(3, 4)).astype("float32")
    generated = model.generate(roll, 2, temperature=1e-6, seed=0)
    for _ in range(2):
        roll = np.concatenate([roll, model(roll[None])[0, -1:] > 0])
    np.testing.assert_array_equal(generated, roll)


def test_dilation_is_rejected_briefly():
    with pytest.raises(ValueError, match=r"layer 'deep_rnn' has dilation=\[1, 2\]"):
        LanguageModel("abc", 2, 2, dilation=[1, 2]).generate("a", 2)


def graphs_made(monkeypatch, call):
    """Return the number of graphs that TensorFlow traces during a call."""
    made, begin = [], tf.__internal__.FuncGraph.__init__

    def counted(self, *args, **kwargs):
        made.append(self)
        begin(self, *args, **kwargs)

    monkeypatch.setattr(tf.__internal__.FuncGraph, "__init__", counted)
    call()
    return len(made)


@pytest.mark.parametrize("options", [{}, HEADS["tied"]], ids=["dense", "tied"])
def test_repeated_generation_traces_nothing_and_uses_current_weights(options, monkeypatch):
    model = LanguageModel("abcde", 4, **options)
    for _ in range(2):
        model.generate("abc", 3, seed=0)
    head = model.get_layer("head")
    head.bias.assign([0, 0, 0, LAST, 0])
    head.weights[0].assign(0 * head.weights[0])
    head.bias.assign([0, 0, 0, LAST, 0])
    found = []
    assert not graphs_made(monkeypatch, lambda: found.append(model.generate("abc", 3, seed=1)))
    assert found == ["abcddd"]


def test_repeated_predictions_trace_nothing(monkeypatch):
    model = SequenceModel(3, 2, 2, masks=True)
    series = [np.zeros((length, 3), "float32") for length in (4, 6)]
    for _ in range(2):
        model.predict_labels(series)
    assert not graphs_made(monkeypatch, lambda: model.predict_labels(series))


def test_stepper_is_rebuilt_if_a_layer_changes():
    model = LanguageModel("abc", 2)
    first = current_stepper(model)
    assert current_stepper(model) is first
    model.get_layer("head").activation = keras.activations.relu
    assert current_stepper(model) is not first
    assert current_stepper(LanguageModel("abc", 2)) is not current_stepper(model)
