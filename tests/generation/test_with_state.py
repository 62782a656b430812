"""`with_state`: chunks with explicit states compared with complete sequences."""

import keras
import numpy as np
import pytest
from small_models import V, ids, in_chunks, randomized, small_model

from deeprnn_keras import DeepRNN
from deeprnn_keras.generation import with_state
from deeprnn_keras.generation.stepwise import zero_state
from deeprnn_keras.layers import OneHot

eager = pytest.mark.usefixtures("eager")  # otherwise every size of a chunk is traced


@pytest.mark.slow
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
def test_chunks_equal_the_complete_sequence(rng, cell, connection, embedding):
    model = small_model(rng, cell=cell, connection=connection, embedding=embedding, dropout=0.3, implementation="loop")
    x = ids(rng, 2, 9)
    expected, stepper = model.predict_on_batch(x), with_state(model)
    assert np.ptp(expected) > 0.5
    for sizes in ([1] * 9, [4, 1, 4]):
        np.testing.assert_allclose(in_chunks(stepper, x, sizes), expected, rtol=1e-6, atol=1e-6)


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
def test_model_of_fixed_length_reads_chunks_of_other_lengths(rng):
    model = randomized(keras.Sequential([keras.Input((6,)), OneHot(V), DeepRNN(3, return_sequences=True)]), rng)
    x = ids(rng, 2, 6)
    chunks = in_chunks(with_state(model), x, [2, 3, 1])
    np.testing.assert_allclose(chunks, model.predict_on_batch(x), rtol=1e-6, atol=1e-6)


def test_states_are_ordered_from_the_lowest_layer_up(rng):
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
    ("layer", "reason"),
    [
        (DeepRNN(2, bidirectional=True, return_sequences=True, name="unsupported"), "bidirectional=True"),
        (DeepRNN(2, go_backwards=True, return_sequences=True, name="unsupported"), "go_backwards=True"),
        (DeepRNN(2, name="unsupported"), "return_sequences=False"),
        (keras.layers.Conv1D(2, 3, padding="causal", name="unsupported"), "Conv1D"),
        (keras.layers.LSTM(2, return_sequences=True, name="unsupported"), "LSTM"),
        (keras.layers.GlobalAveragePooling1D(name="unsupported"), "GlobalAveragePooling1D"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_layers_that_require_the_complete_sequence_are_rejected(layer, reason):
    model = keras.Sequential([keras.Input((None, 3)), layer, keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="'unsupported'") as error:
        with_state(model)
    assert reason in str(error.value)


def two_branches(x):
    return keras.layers.Add(name="unsupported")([keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)])


def output_that_skips_a_layer(x):
    hidden = keras.layers.Dense(3)(x)
    return keras.layers.Dense(2, name="unsupported")(x), hidden


def one_layer_twice(x):
    layer = keras.layers.Dense(3, name="unsupported")
    return layer(layer(x))


@pytest.mark.parametrize("make", [two_branches, output_that_skips_a_layer, one_layer_twice], ids=lambda f: f.__name__)
def test_model_that_is_not_a_chain_is_rejected(make):
    x = keras.Input((None, 3))
    with pytest.raises(ValueError, match="must be a chain of layers"):
        with_state(keras.Model(x, make(x)))
