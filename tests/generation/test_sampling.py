"""`generate`: distribution of the symbols, reproducibility, and rejected arguments."""

import math

import numpy as np
import pytest
from small_models import V, small_model

from deeprnn_keras import generate
from deeprnn_keras.data import Vocabulary

ABC = Vocabulary("abcde")


def test_text_starts_with_the_prompt_and_has_the_requested_length(rng):
    model = small_model(rng)
    text = generate(model, ABC, "abba", length=13, seed=1)
    assert text.startswith("abba") and len(text) == 17 and set(text) <= set("abcde")
    assert len(generate(model, ABC, "a", length=1)) == 2


def test_seed_determines_the_text(rng):
    model = small_model(rng)
    texts = [generate(model, ABC, "ab", length=30, seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_temperature_near_zero_selects_the_most_likely_symbol(rng):
    """Compare with the predictions of the model for the complete text."""
    model = small_model(rng, cell="gru", embedding=3)
    text = ABC.encode(generate(model, ABC, "ac", length=30, temperature=1e-6))
    most_likely = np.argmax(model.predict_on_batch(text[None, :-1])[0], -1)
    np.testing.assert_array_equal(text[2:], most_likely[1:])
    assert len(set(most_likely[1:])) > 1, "the test requires a text of more than one symbol"


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_draws_follow_the_softmax_at_the_temperature(rng, temperature):
    model, logits = small_model(rng, units=1, num_layers=1, cell="rnn"), np.array([2.0, 1.0, 0.0, -1.0, 0.5])
    model.get_layer("head").set_weights([np.zeros((1, V)), logits])
    text = generate(model, ABC, "a", length=400, temperature=temperature, seed=0)[1:]
    p = np.exp(logits / temperature) / np.sum(np.exp(logits / temperature))
    frequencies = [text.count(symbol) / 400 for symbol in ABC.symbols]
    assert np.all(np.abs(frequencies - p) < 4 * np.sqrt(p * (1 - p) / 400) + 1e-3)


def test_unknown_characters_of_the_prompt(rng):
    model = small_model(rng)
    with pytest.raises(ValueError, match=r"'x' \(2 times\)"):
        generate(model, ABC, "axbx", length=2)
    assert generate(model, ABC, "axbx", length=2, unknown="skip").startswith("ab")
    with pytest.raises(ValueError, match="at least 1 symbol of the model's vocabulary, got 'xyz'"):
        generate(model, ABC, "xyz", length=2, unknown="skip")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"length": 0}, "length"),
        ({"length": 2.5}, "length"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"prompt": ""}, "prompt"),
        ({"unknown": "drop"}, "unknown"),
    ],
    ids=str,
)
def test_invalid_arguments_are_rejected(rng, arguments, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        generate(small_model(rng), ABC, **{"prompt": "ab", "length": 3, **arguments})
