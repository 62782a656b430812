"""Values and gradients of `DeepRNN`, compared with the NumPy oracle and with stacks of stock Keras layers."""

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from oracles import assert_close, random_weights

from deeprnn_keras import DeepRNN

CONNECTIONS = ("stack", "residual", "skip")
MIXED = ["gru", "lstm", "rnn"]
STACKS = [["lstm"], ["rnn"] * 2, ["gru"] * 2, ["lstm"] * 2, MIXED]


def random_inputs(rng, n=2, steps=3, d=3):
    return rng.normal(size=(n, steps, d)).astype("float32")


def widths(num_layers, connection):
    return [3] * num_layers if connection == "residual" else [2, 4, 3][:num_layers]


def gru_with_reset_before(units):
    return keras.layers.GRUCell(units, reset_after=False)


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "bidirectional"])
@pytest.mark.parametrize("connection", CONNECTIONS)
@pytest.mark.parametrize("cells", STACKS, ids="-".join)
def test_values_of_the_oracle(rng, cells, connection, bidirectional):
    units = widths(len(cells), connection)
    layer = DeepRNN(units, cell=cells, connection=connection, bidirectional=bidirectional, return_sequences=True)
    x = random_inputs(rng)
    layer.build(x.shape)
    weights = random_weights(layer, rng)
    expected = oracles.deep_rnn(x, weights, cells, units, connection, bidirectional)
    assert_close(layer(x), expected.outputs)


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "bidirectional"])
@pytest.mark.parametrize("connection", CONNECTIONS)
def test_last_output_states_and_activations_of_the_oracle(rng, connection, bidirectional):
    units, activations = widths(3, connection), ["relu", None, "sigmoid"]
    layer = DeepRNN(
        units,
        cell=MIXED,
        activation=activations,
        connection=connection,
        bidirectional=bidirectional,
        return_state=True,
    )
    x = random_inputs(rng)
    layer.build(x.shape)
    weights = random_weights(layer, rng)
    expected = oracles.deep_rnn(x, weights, MIXED, units, connection, bidirectional, activations=activations)
    last, *states = layer(x)
    assert_close(last, expected.last)
    assert_close(states, expected.states)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_relu_in_all_layers(rng, cell):
    layer = DeepRNN(3, 2, cell, activation="relu", return_sequences=True)
    x = random_inputs(rng)
    layer.build(x.shape)
    weights = random_weights(layer, rng)
    expected = oracles.deep_rnn(x, weights, [cell] * 2, [3, 3], activations=["relu"] * 2)
    assert_close(layer(x), expected.outputs)


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "bidirectional"])
@pytest.mark.parametrize("return_sequences", [False, True], ids=["last", "sequence"])
@pytest.mark.parametrize("connection", CONNECTIONS)
def test_go_backwards(rng, connection, return_sequences, bidirectional):
    cells, units = ["lstm", "gru"], widths(2, connection)
    layer = DeepRNN(
        units,
        cell=cells,
        connection=connection,
        bidirectional=bidirectional,
        return_sequences=return_sequences,
        return_state=True,
        go_backwards=True,
    )
    x = random_inputs(rng)
    layer.build(x.shape)
    weights = random_weights(layer, rng)
    expected = oracles.deep_rnn(x, weights, cells, units, connection, bidirectional, go_backwards=True)
    output, *states = layer(x)
    assert_close(output, expected.outputs if return_sequences else expected.last)
    assert_close(states, expected.states)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(
    ("n", "steps", "d", "h", "num_layers", "bidirectional"),
    [
        (1, 3, 2, 2, 1, False),
        (2, 1, 2, 2, 2, False),
        (2, 3, 1, 1, 2, False),
        (1, 1, 1, 1, 1, False),
        (1, 1, 1, 1, 2, True),
    ],
)
def test_smallest_sizes(rng, n, steps, d, h, num_layers, bidirectional, cell):
    layer = DeepRNN(h, num_layers, cell, bidirectional=bidirectional, return_state=True)
    x = random_inputs(rng, n, steps, d)
    layer.build(x.shape)
    weights = random_weights(layer, rng)
    expected = oracles.deep_rnn(x, weights, [cell] * num_layers, [h] * num_layers, bidirectional=bidirectional)
    last, *states = layer(x)
    assert_close(last, expected.last)
    assert_close(states, expected.states)


@pytest.mark.parametrize("reset_after", [True, False])
def test_gru_of_the_oracle_equals_stock_gru(rng, reset_after):
    layer = keras.layers.GRU(3, reset_after=reset_after, return_sequences=True)
    x = random_inputs(rng)
    layer.build(x.shape)
    cell = "gru" if reset_after else "gru_reset_before"
    outputs, _ = oracles.recurrence(x, cell, random_weights(layer, rng), 3)
    assert_close(layer(x), outputs)


@pytest.mark.parametrize("connection", CONNECTIONS)
@pytest.mark.parametrize("make_cell", [gru_with_reset_before, lambda h: keras.layers.GRUCell(h, reset_after=False)])
def test_callable_cell(rng, make_cell, connection):
    units = widths(2, connection)
    layer = DeepRNN(units, cell=make_cell, connection=connection, return_sequences=True)
    x = random_inputs(rng)
    layer.build(x.shape)
    weights = random_weights(layer, rng)
    assert_close(layer(x), oracles.deep_rnn(x, weights, ["gru_reset_before"] * 2, units, connection).outputs)


# === Stock Keras layers ===

STOCK = {"rnn": keras.layers.SimpleRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}


def stock_stack(cells, units, connection, bidirectional, d, weights):
    """Return stock layers with these weights, and a function x -> (n, T, q) that runs them."""
    layers, input_dim, remaining = [], d, list(weights)
    for cell, h in zip(cells, units, strict=True):
        layer = STOCK[cell](h, return_sequences=True)
        layers.append(keras.layers.Bidirectional(layer) if bidirectional else layer)
        layers[-1].build((None, None, input_dim))
        layers[-1].set_weights([remaining.pop(0) for _ in layers[-1].get_weights()])
        input_dim = h * (1 + bidirectional) + (d if connection == "skip" else 0)
    assert not remaining

    def run(x):
        outputs = [layers[0](x)]
        for layer in layers[1:]:
            if connection == "residual":
                outputs.append(outputs[-1] + layer(outputs[-1]))
            else:
                outputs.append(layer(tf.concat([outputs[-1], x], -1) if connection == "skip" else outputs[-1]))
        return tf.concat(outputs, -1) if connection == "skip" else outputs[-1]

    return layers, run


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "bidirectional"])
@pytest.mark.parametrize(
    ("cells", "connection"),
    [
        (["rnn", "rnn", "rnn"], "stack"),
        (["gru", "gru"], "residual"),
        (["lstm", "lstm"], "stack"),
        (["lstm"], "stack"),
        (["gru", "lstm", "rnn"], "skip"),
    ],
)
def test_values_and_gradients_of_stock_layers(rng, cells, connection, bidirectional):
    units = widths(len(cells), connection)
    layer = DeepRNN(units, cell=cells, connection=connection, bidirectional=bidirectional, return_sequences=True)
    x = tf.constant(random_inputs(rng))
    layer.build(x.shape)
    stock, run = stock_stack(cells, units, connection, bidirectional, x.shape[-1], random_weights(layer, rng))
    expected_weights = [w.value for one in stock for w in one.trainable_weights]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        output, expected = layer(x), run(x)
        # random factors, so that the terms of a gradient do not cancel
        factors = tf.constant(rng.normal(size=output.shape).astype("float32"))
        loss, expected_loss = tf.reduce_sum(factors * output), tf.reduce_sum(factors * expected)
    assert_close(output, expected.numpy())
    got = tape.gradient(loss, [x, *[w.value for w in layer.trainable_weights]])
    for gradient, reference in zip(got, tape.gradient(expected_loss, [x, *expected_weights]), strict=True):
        assert_close(gradient, reference.numpy())


def test_last_output_of_stock_bidirectional_layers(rng):
    """Stock `Bidirectional` concatenates the forward output at t = T and the backward output at t = 1."""
    x = random_inputs(rng)
    layer = DeepRNN([2, 4], cell="gru", bidirectional=True)
    layer.build(x.shape)
    weights = random_weights(layer, rng)
    lower = keras.layers.Bidirectional(keras.layers.GRU(2, return_sequences=True))
    upper = keras.layers.Bidirectional(keras.layers.GRU(4))
    lower.build(x.shape)
    upper.build((2, 4, 4))
    lower.set_weights(weights[:6])
    upper.set_weights(weights[6:])
    assert_close(layer(x), upper(lower(x)).numpy())


@pytest.mark.parametrize("connection", ["stack", "skip"])
def test_gradients_equal_finite_differences_of_the_oracle(rng, connection):
    cells, units = ["gru", "lstm"], [2, 1]
    layer = DeepRNN(units, cell=cells, connection=connection, bidirectional=True, dtype="float64")
    x = rng.normal(size=(2, 3, 2))
    layer.build(x.shape)
    weights = [w.astype("float64") for w in random_weights(layer, rng)]

    def loss(x, *weights):
        return np.sum(oracles.deep_rnn(x, weights, cells, units, connection, True).last ** 2)

    def finite_difference(arrays, which, position, step=1e-5):
        losses = []
        for sign in (1, -1):
            moved = [np.array(a) for a in arrays]
            moved[which][position] += sign * step
            losses.append(loss(*moved))
        return (losses[0] - losses[1]) / (2 * step)

    with tf.GradientTape() as tape:
        constant = tf.constant(x)
        tape.watch(constant)
        value = tf.reduce_sum(layer(constant) ** 2)
    assert_close(value, loss(x, *weights), 1e-12)
    gradients = tape.gradient(value, [constant, *[w.value for w in layer.trainable_weights]])
    for which, gradient in enumerate(gradients):
        expected = np.array([finite_difference([x, *weights], which, i) for i in np.ndindex(*gradient.shape)])
        assert_close(tf.reshape(gradient, [-1]), expected, 1e-7)
