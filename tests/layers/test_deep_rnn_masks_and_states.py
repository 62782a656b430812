"""Masks, initial and final states, and chunked and stateful calls of `DeepRNN`."""

import keras
import numpy as np
import oracles
import pytest
from oracles import assert_close, random_weights

from deeprnn_keras import DeepRNN

CONNECTIONS = ("stack", "residual", "skip")
MASKS = {  # right padding is a separate case: on a GPU, a separate kernel runs it
    "right_padded": [[1, 1, 0], [1, 0, 0], [1, 1, 1]],
    "any": [[0, 0, 1], [1, 0, 1], [0, 0, 0]],
}
DIRECTIONS = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "bidirectional"])


def random_inputs(rng, n=3, steps=3, d=3):
    return rng.normal(size=(n, steps, d)).astype("float32")


def mask_array(name):
    return np.array(MASKS[name], bool)


def widths(connection):
    return [3, 3] if connection == "residual" else [2, 4]


def random_state(layer, rng, n=3):
    """Return a non-zero state in the structure of `initial_state`."""
    return keras.tree.map_structure(
        lambda zeros: rng.normal(size=zeros.shape).astype("float32"), layer.get_initial_state(n)
    )


def random_layer(rng, *args, n=3, **kwargs):
    """Return a layer with random weights, and the weights."""
    layer = DeepRNN(*args, **kwargs)
    layer.build((n, None, 3))
    return layer, random_weights(layer, rng)


# === Masks ===


@DIRECTIONS
@pytest.mark.parametrize("connection", CONNECTIONS)
@pytest.mark.parametrize("return_sequences", [False, True], ids=["last", "sequence"])
@pytest.mark.parametrize("mask", MASKS)
def test_mask(rng, mask, return_sequences, connection, bidirectional):
    cells, units, x, mask = ["gru", "lstm"], widths(connection), random_inputs(rng), mask_array(mask)
    layer, weights = random_layer(
        rng,
        units,
        cell=cells,
        connection=connection,
        bidirectional=bidirectional,
        return_sequences=return_sequences,
        return_state=True,
    )
    expected = oracles.deep_rnn(x, weights, cells, units, connection, bidirectional, mask=mask)
    output, *states = layer(x, mask=mask)
    assert_close(output, expected.outputs if return_sequences else expected.last)
    assert_close(states, expected.states)


@DIRECTIONS
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_mask_with_initial_state_and_go_backwards(rng, cell, bidirectional):
    x, mask = random_inputs(rng), mask_array("any")
    layer, weights = random_layer(
        rng, [2, 4], cell=cell, bidirectional=bidirectional, go_backwards=True, return_sequences=True, return_state=True
    )
    state = random_state(layer, rng)
    expected = oracles.deep_rnn(
        x, weights, [cell] * 2, [2, 4], "stack", bidirectional, state, mask=mask, go_backwards=True
    )
    output, *states = layer(x, initial_state=state, mask=mask)
    assert_close(output, expected.outputs)
    assert_close(states, expected.states)


@DIRECTIONS
@pytest.mark.parametrize("connection", CONNECTIONS)
def test_inputs_at_masked_steps_have_no_effect(rng, connection, bidirectional):
    layer, _ = random_layer(
        rng,
        widths(connection),
        cell=["gru", "lstm"],
        connection=connection,
        bidirectional=bidirectional,
        return_sequences=True,
        return_state=True,
    )
    x, mask = random_inputs(rng), mask_array("any")
    clean = keras.tree.flatten(layer(x, mask=mask))
    with_nan = keras.tree.flatten(layer(np.where(mask[:, :, None], x, np.nan).astype("float32"), mask=mask))
    for expected, got in zip(clean, with_nan, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("initial_state", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize(
    ("connection", "bidirectional", "return_state"), [("stack", False, True), ("skip", True, False)]
)
def test_mask_is_passed_to_the_next_layer(rng, connection, bidirectional, return_state, go_backwards, initial_state):
    """The next layer is a pooling layer, which averages over the unmasked steps."""
    options = {"connection": connection, "bidirectional": bidirectional, "go_backwards": go_backwards}
    layer, weights = random_layer(rng, [2, 4], cell="gru", return_sequences=True, return_state=return_state, **options)
    x, mask = random_inputs(rng), np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1]], bool)
    x[~mask] = 0
    state = random_state(layer, rng) if initial_state else None
    result = layer(keras.layers.Masking()(x), initial_state=state)
    pooled = keras.layers.GlobalAveragePooling1D()(result[0] if return_state else result)
    expected = oracles.deep_rnn(x, weights, ["gru"] * 2, [2, 4], initial_state=state, mask=mask, **options).outputs
    output_mask = mask[:, ::-1] if go_backwards else mask
    expected = np.sum(expected * output_mask[:, :, None], axis=1) / np.sum(output_mask, axis=1)[:, None]
    assert_close(pooled, expected)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_attached_mask_with_initial_state(rng, cell):
    """Keras passes an attached mask to `call` only if the input is the only tensor argument."""
    layer, weights = random_layer(rng, [2, 4], cell=cell, return_state=True)
    x, mask, state = random_inputs(rng), mask_array("any"), random_state(layer, rng)
    x[~mask] = 0
    expected = oracles.deep_rnn(x, weights, [cell] * 2, [2, 4], initial_state=state, mask=mask)
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, layer(keras.layers.Masking()(inputs), initial_state=state))
    for output, *states in (layer(keras.layers.Masking()(x), initial_state=state), model(x)):
        assert_close(output, expected.last)
        assert_close(states, expected.states)


@pytest.mark.parametrize("return_state", [False, True])
def test_last_output_and_states_have_no_mask(rng, return_state):
    x, layer = random_inputs(rng), DeepRNN(2, 2, return_state=return_state)
    x[:, -1] = 0
    for tensor in keras.tree.flatten(layer(keras.layers.Masking()(x))):
        assert getattr(tensor, "_keras_mask", None) is None


def test_embedding_mask_equals_mask_argument(rng):
    tokens = np.array([[3, 1, 0, 0], [2, 0, 0, 0]])
    embedded = keras.layers.Embedding(4, 3, mask_zero=True)(tokens)
    layer, weights = random_layer(rng, 3, 2)
    expected = oracles.deep_rnn(np.array(embedded), weights, ["lstm"] * 2, [3, 3], mask=tokens > 0)
    assert_close(layer(embedded), expected.last)


def test_mask_in_model_with_unknown_length(rng):
    layer, weights = random_layer(rng, [2, 4], cell="gru", bidirectional=True, connection="skip", return_sequences=True)
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.Masking(), layer])
    for steps in (2, 3):
        x, mask = random_inputs(rng)[:, :steps], mask_array("any")[:, :steps]
        x[~mask] = 0
        expected = oracles.deep_rnn(x, weights, ["gru"] * 2, [2, 4], "skip", True, mask=mask)
        assert_close(model(x), expected.outputs)


# === States ===


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize(
    ("cell", "bidirectional", "entry"),
    [("rnn", False, 1), ("gru", False, 1), ("lstm", False, 2), ("gru", True, 2), ("lstm", True, 4)],
)
def test_state_is_a_list_with_one_entry_per_layer(rng, cell, bidirectional, entry, num_layers):
    layer, _ = random_layer(rng, 2, num_layers, cell, bidirectional=bidirectional, return_state=True)
    zeros = np.zeros((3, 2))
    one_layer = zeros if entry == 1 else [zeros] * entry
    assert_close(layer.get_initial_state(3), [one_layer] * num_layers)
    x = random_inputs(rng)
    output, *states = layer(x)
    assert [np.shape(s) for s in states] == [np.shape(one_layer)] * num_layers
    again, *_ = layer(x, initial_state=layer.get_initial_state(3))
    assert_close(again, output.numpy(), 1e-7)


@DIRECTIONS
@pytest.mark.parametrize("connection", CONNECTIONS)
@pytest.mark.parametrize("cells", [["lstm"], ["gru", "lstm"]], ids="-".join)
def test_initial_state(rng, cells, connection, bidirectional):
    units = widths(connection)[: len(cells)]
    layer, weights = random_layer(
        rng, units, cell=cells, connection=connection, bidirectional=bidirectional, return_state=True
    )
    x, state = random_inputs(rng), random_state(layer, rng)
    expected = oracles.deep_rnn(x, weights, cells, units, connection, bidirectional, state)
    last, *states = layer(x, initial_state=state)
    assert_close(last, expected.last)
    assert_close(states, expected.states)


@pytest.mark.parametrize(
    ("cell", "connection"), [("rnn", "stack"), ("gru", "residual"), ("lstm", "skip"), ("lstm", "stack")]
)
def test_chunks_with_state_passed_on_equal_whole_sequence(rng, cell, connection):
    layer, _ = random_layer(
        rng, widths(connection), cell=cell, connection=connection, return_sequences=True, return_state=True
    )
    x, state, chunks = random_inputs(rng, steps=4), None, []
    for chunk in (x[:, :2], x[:, 2:3], x[:, 3:]):
        output, *state = layer(chunk, initial_state=state)
        chunks.append(output)
    whole, *final = layer(x)
    assert_close(np.concatenate(chunks, axis=1), whole.numpy(), 1e-6)
    assert_close(state, keras.tree.map_structure(np.array, final), 1e-6)


@pytest.mark.parametrize("cells", [["lstm"], ["gru", "lstm"]], ids="-".join)
def test_stateful_batches_equal_whole_sequence(rng, cells):
    units = [2, 3][: len(cells)]
    layer, weights = random_layer(rng, units, cell=cells, stateful=True, return_sequences=True)
    model = keras.Sequential([keras.Input(batch_shape=(3, 2, 3)), layer])
    x = random_inputs(rng, steps=4)
    expected = oracles.deep_rnn(x, weights, cells, units).outputs
    first = model.predict(x[:, :2], batch_size=3, verbose=0)
    second = model.predict(x[:, 2:], batch_size=3, verbose=0)
    assert_close(np.concatenate([first, second], axis=1), expected, 1e-6)


@pytest.mark.parametrize("reset", ["reset_state", "reset_states"])
def test_reset_state(rng, reset):
    layer, _ = random_layer(rng, [2, 3], cell=["gru", "lstm"], bidirectional=True, stateful=True)
    x = random_inputs(rng)
    first, second = layer(x), layer(x)
    assert np.max(np.abs(first - second)) > 1e-3
    getattr(layer, reset)()
    np.testing.assert_array_equal(layer(x), first)


def test_carried_states_are_not_weights(rng):
    layer, weights = random_layer(rng, 2, 2, stateful=True)
    layer(random_inputs(rng))
    assert len(layer.get_weights()) == len(weights) == 6
    assert layer.count_params() == sum(w.size for w in weights)
