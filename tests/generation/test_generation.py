"""Models read step by step, scored and sampled from: against the whole sequence and against plain NumPy."""

import math

import keras
import numpy as np
import pytest

from deeprnn_keras import DeepRNN, LanguageModel, Vocabulary, generate
from deeprnn_keras.generation import Score, score, scoring, with_state
from deeprnn_keras.generation.with_state import zero_state
from deeprnn_keras.layers import OneHot

eager = pytest.mark.usefixtures("eager")  # chunks of many sizes, each of which would be traced

V = 5


def randomized(model, rng, scale=0.5):
    """Random weights, biases too, so that no term drops out."""
    model.set_weights([rng.normal(scale=scale, size=w.shape).astype("float32") for w in model.get_weights()])
    return model


def small_model(rng, **kwargs):
    return randomized(LanguageModel(V, **{"units": 4, "num_layers": 2, **kwargs}), rng)


def ids(rng, *shape):
    return rng.integers(V, size=shape).astype("int32")


def in_chunks(stepper, x, sizes):
    """Outputs (n, T, ...) of `stepper`, which reads `sizes` steps at a time."""
    assert sum(sizes) == x.shape[1]
    state, outputs = zero_state(stepper, len(x)), []
    for chunk in np.split(x, np.cumsum(sizes)[:-1], axis=1):
        output, *state = stepper.predict_on_batch([chunk, *state])
        outputs.append(output)
    return np.concatenate(outputs, axis=1)


# === with_state ===


@eager
@pytest.mark.parametrize(
    ("cell", "connection", "embedding"),
    [
        ("rnn", "stack", 3),
        ("rnn", "skip", None),
        ("gru", "residual", None),
        ("lstm", "stack", None),
        ("lstm", "skip", 3),
        (("gru", "lstm"), "residual", 3),
        ("mlp_gate_lstm", "stack", None),
        ("deep_transition_gru", "residual", 3),
        ({"name": "rhn", "depth": 2}, "skip", None),
    ],
    ids=str,
)
def test_chunks_equal_the_whole(rng, cell, connection, embedding):
    model = small_model(rng, cell=cell, connection=connection, embedding=embedding, dropout=0.3, implementation="loop")
    x = ids(rng, 2, 9)
    whole, stepper = model.predict_on_batch(x), with_state(model)
    assert np.ptp(whole) > 0.5
    for sizes in ([1] * 9, [4, 1, 4]):
        np.testing.assert_allclose(in_chunks(stepper, x, sizes), whole, rtol=1e-6, atol=1e-6)


@eager
def test_chain_of_recurrent_layers_over_features(rng):
    layers = [
        keras.Input((None, 3)),
        DeepRNN([4, 2], cell="gru", return_sequences=True, implementation="loop"),
        keras.layers.LayerNormalization(),
        keras.layers.Dropout(0.5),
        DeepRNN(3, return_sequences=True, return_state=False),
        keras.layers.Dense(2, activation="relu"),
        keras.layers.Activation("softmax"),
    ]
    model = randomized(keras.Sequential(layers), rng)
    x = rng.normal(size=(2, 7, 3)).astype("float32")
    chunks = in_chunks(with_state(model), x, [3, 1, 1, 2])
    np.testing.assert_allclose(chunks, model.predict_on_batch(x), rtol=1e-6, atol=1e-6)


@eager
def test_model_of_fixed_length_reads_other_chunks(rng):
    model = randomized(keras.Sequential([keras.Input((6,)), OneHot(V), DeepRNN(3, return_sequences=True)]), rng)
    x = ids(rng, 2, 6)
    chunks = in_chunks(with_state(model), x, [2, 3, 1])
    np.testing.assert_allclose(chunks, model.predict_on_batch(x), rtol=1e-6, atol=1e-6)


def test_states_are_ordered_from_the_lowest_layer(rng):
    stepper = with_state(small_model(rng, units=[2, 3, 4], num_layers=3, cell=["lstm", "gru", "rnn"]))
    assert [state.shape for state in zero_state(stepper, 7)] == [(7, 2), (7, 2), (7, 3), (7, 4)]
    assert not any(np.any(state) for state in zero_state(stepper, 7))


@eager
def test_two_steppers_of_one_model(rng):
    model, x = small_model(rng), ids(rng, 1, 4)
    first, second = with_state(model), with_state(model)
    np.testing.assert_array_equal(in_chunks(first, x, [4]), in_chunks(second, x, [4]))


@eager
def test_stepper_copies_the_weights(rng):
    model, x = small_model(rng), ids(rng, 1, 4)
    stepper, before = with_state(model), model.predict_on_batch(x)
    randomized(model, rng)
    np.testing.assert_allclose(in_chunks(stepper, x, [4]), before, rtol=1e-6, atol=1e-6)
    assert np.max(np.abs(model.predict_on_batch(x) - before)) > 0.01


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (DeepRNN(2, bidirectional=True, return_sequences=True, name="culprit"), "bidirectional=True"),
        (DeepRNN(2, go_backwards=True, return_sequences=True, name="culprit"), "go_backwards=True"),
        (DeepRNN(2, name="culprit"), "return_sequences=False"),
        (keras.layers.Conv1D(2, 3, padding="causal", name="culprit"), "Conv1D"),
        (keras.layers.LSTM(2, return_sequences=True, name="culprit"), "LSTM"),
        (keras.layers.GlobalAveragePooling1D(name="culprit"), "GlobalAveragePooling1D"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_layers_that_need_the_whole_sequence_are_refused(layer, why):
    model = keras.Sequential([keras.Input((None, 3)), layer, keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="'culprit'") as error:
        with_state(model)
    assert why in str(error.value)


def two_branches(x):
    return keras.layers.Add(name="culprit")([keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)])


def jump(x):
    hidden = keras.layers.Dense(3)(x)
    return keras.layers.Dense(2, name="culprit")(x), hidden


def one_layer_twice(x):
    layer = keras.layers.Dense(3, name="culprit")
    return layer(layer(x))


@pytest.mark.parametrize("make", [two_branches, jump, one_layer_twice], ids=lambda f: f.__name__)
def test_model_that_is_no_chain_is_refused(make):
    x = keras.Input((None, 3))
    with pytest.raises(ValueError, match="not a chain of layers"):
        with_state(keras.Model(x, make(x)))


# === score ===


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


# === generate ===

ABC = Vocabulary("abcde")


def test_text_begins_with_the_prompt_and_has_the_requested_length(rng):
    model = small_model(rng)
    text = generate(model, ABC, "abba", length=13, seed=1)
    assert text.startswith("abba") and len(text) == 17 and set(text) <= set("abcde")
    assert len(generate(model, ABC, "a", length=1)) == 2


def test_seed_fixes_the_text(rng):
    model = small_model(rng)
    texts = [generate(model, ABC, "ab", length=30, seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_temperature_near_zero_takes_the_most_likely(rng):
    """Against the model itself, which reads the whole text at once."""
    model = small_model(rng, cell="gru", embedding=3)
    text = ABC.encode(generate(model, ABC, "ac", length=30, temperature=1e-6))
    likeliest = np.argmax(model.predict_on_batch(text[None, :-1])[0], -1)
    np.testing.assert_array_equal(text[2:], likeliest[1:])
    assert len(set(likeliest[1:])) > 1, "the check needs a text that varies"


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
    with pytest.raises(ValueError, match="no symbol of the model's vocabulary"):
        generate(model, ABC, "xyz", length=2, unknown="skip")


@pytest.mark.parametrize(
    ("arguments", "named"),
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
def test_bad_arguments_of_generate(rng, arguments, named):
    with pytest.raises(ValueError, match=f"^{named} must"):
        generate(small_model(rng), ABC, **{"prompt": "ab", "length": 3, **arguments})
