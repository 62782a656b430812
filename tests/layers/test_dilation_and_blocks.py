"""Dilation, residual blocks, and `return_all_layers` of `DeepRNN`, compared with NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import assert_close, random_weights, recurrence

from deeprnn_keras import DeepRNN

D, H, N, T = 3, 4, 2, 7
DILATIONS = [[2], [1, 3], [3, 1, 5], [12, 2]]
implementations = pytest.mark.parametrize("implementation", ["auto", "loop"])


def dilated_layer(x, rate, cell, weights, units, mask, backwards=False):
    """Run a layer in which step t follows step t - rate, one interleaved subsequence at a time."""
    if backwards:
        x, mask = x[:, ::-1], mask[:, ::-1]
    outputs = np.zeros((*x.shape[:2], units))
    for start in range(min(rate, x.shape[1])):
        subsequence = slice(start, None, rate)
        outputs[:, subsequence] = recurrence(x[:, subsequence], cell, weights, units, mask=mask[:, subsequence])[0]
    return outputs[:, ::-1] if backwards else outputs


def layer_outputs(x, weights, cell, units, dilation, bidirectional=False, mask=None, block_size=None):
    """Return the output (n, T, h) of each layer of a stack."""
    mask = np.ones(x.shape[:2], bool) if mask is None else mask
    remaining, outputs = iter(np.asarray(w, "float64") for w in weights), []
    for rate in dilation:
        layer_input, directions = outputs[-1] if outputs else x, []
        for backwards in (False, True) if bidirectional else (False,):
            layer_weights = next(remaining), next(remaining), next(remaining)
            directions.append(dilated_layer(layer_input, rate, cell, layer_weights, units, mask, backwards))
        output = np.concatenate(directions, -1)
        if block_size and (len(outputs) + 1) % block_size == 0 and len(outputs) >= block_size:
            output = output + outputs[len(outputs) - block_size]
        outputs.append(output)
    return outputs


@implementations
@pytest.mark.parametrize("dilation", DILATIONS, ids=str)
@pytest.mark.parametrize("cell", ["lstm", *(pytest.param(c, marks=pytest.mark.slow) for c in ("rnn", "gru"))])
def test_dilation(rng, cell, dilation, implementation):
    x = rng.normal(size=(N, T, D)).astype("float32")
    for steps in (1, 2, T):
        layer = DeepRNN(H, len(dilation), cell, dilation=dilation, implementation=implementation, return_sequences=True)
        layer(x[:, :steps])
        weights = random_weights(layer, rng)
        expected = layer_outputs(x[:, :steps], weights, cell, H, dilation)[-1]
        assert_close(layer(x[:, :steps]), expected)
        last = DeepRNN(H, len(dilation), cell, dilation=dilation, implementation=implementation)
        last(x)
        last.set_weights(weights)
        assert_close(last(x[:, :steps]), expected[:, -1])


@pytest.mark.slow
@implementations
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_dilation_with_masks_and_unknown_lengths(rng, bidirectional, implementation):
    mask = np.array([[True] * 4 + [False] * 3, [False, True, True, False, True, True, False]])
    layer = DeepRNN(
        H, 2, "gru", dilation=[2, 3], implementation=implementation, bidirectional=bidirectional, return_sequences=True
    )
    x = rng.normal(size=(N, T, D)).astype("float32")
    layer(x)
    weights = random_weights(layer, rng)
    run = tf.function(
        lambda x, mask: layer(x, mask=mask), [tf.TensorSpec((None, None, D)), tf.TensorSpec((None, None), bool)]
    )
    for steps in (1, 4, T):
        part = mask[:, :steps]
        expected = layer_outputs(x[:, :steps], weights, "gru", H, [2, 3], bidirectional, part)[-1]
        got = run(x[:, :steps], part)
        if bidirectional:
            expected = expected * part[:, :, None]
        assert_close(got, expected)


def test_gradients_of_a_dilated_stack(rng):
    """Compare with a Keras layer that runs the subsequence to which the last step belongs."""
    x = tf.constant(rng.normal(size=(N, T, D)), "float32")
    layer, reference = DeepRNN(H, 1, "lstm", dilation=3), keras.layers.LSTM(H, return_sequences=True)
    layer(x), reference(x)
    reference.set_weights(random_weights(layer, rng))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        loss, expected = tf.reduce_sum(layer(x) ** 2), tf.reduce_sum(reference(x[:, 0::3])[:, -1] ** 2)
    sources = [[x, *(w.value for w in one.trainable_weights)] for one in (layer, reference)]
    for one, other in zip(tape.gradient(loss, sources[0]), tape.gradient(expected, sources[1]), strict=True):
        assert_close(one, other.numpy())


@implementations
@pytest.mark.parametrize("options", [{}, {"dilation": [1, 2, 4, 8]}], ids=["plain", "dilated"])
def test_residual_blocks(rng, options, implementation):
    x = rng.normal(size=(N, T, D)).astype("float32")
    layer = DeepRNN(
        H, 4, connection="residual", block_size=2, implementation=implementation, return_sequences=True, **options
    )
    layer(x)
    expected = layer_outputs(x, random_weights(layer, rng), "lstm", H, options.get("dilation", [1] * 4), block_size=2)
    assert_close(layer(x), expected[-1])


@pytest.mark.parametrize("implementation", ["auto", pytest.param("loop", marks=pytest.mark.slow)])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "all steps"])
@pytest.mark.parametrize("connection", ["stack", "residual", "skip"])
def test_return_all_layers(rng, connection, sequences, implementation):
    mask = np.array([[True] * T, [True, False, True, True, False, False, False]])
    options = {
        "connection": connection,
        "bidirectional": True,
        "return_sequences": sequences,
        "implementation": implementation,
    }
    layer = DeepRNN(H, 3, "gru", return_all_layers=True, return_state=True, **options)
    without = DeepRNN(H, 3, "gru", return_state=True, **options)
    x = rng.normal(size=(N, T, D)).astype("float32")
    (outputs, *state), (output, *expected_state) = layer(x, mask=mask), without(x, mask=mask)
    without.set_weights(random_weights(layer, rng))
    (outputs, *state), (output, *expected_state) = layer(x, mask=mask), without(x, mask=mask)
    assert len(outputs) == 3 and len(state) == 3
    assert_close(state, [[part.numpy() for part in level] for level in expected_state], 1e-6)
    top = tf.concat(outputs, -1) if connection == "skip" else outputs[-1]
    assert_close(top, output.numpy(), 1e-6)


def test_return_all_layers_in_functional_model(rng, tmp_path):
    x = keras.Input((None, D))
    outputs = DeepRNN([4, 5, 6], return_all_layers=True, return_sequences=True)(x)
    assert [output.shape for output in outputs] == [(None, None, 4), (None, None, 5), (None, None, 6)]
    model = keras.Model(x, keras.layers.Concatenate()(outputs))
    model.save(tmp_path / "model.keras")
    values = rng.normal(size=(N, T, D))
    assert_close(keras.models.load_model(tmp_path / "model.keras")(values), model(values).numpy(), 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dilation": 0}, "dilation must be a positive integer, got 0"),
        ({"dilation": [1, 2, 3]}, r"dilation must be one value or a list with one entry per layer \(2\)"),
        ({"dilation": 2, "return_state": True}, "return_state=True is not supported with dilation"),
        ({"dilation": [1, 2], "stateful": True}, "stateful=True is not supported with dilation"),
        ({"block_size": 2}, "block_size=2 requires connection='residual'"),
        ({"block_size": 3, "connection": "residual"}, "block_size must divide num_layers = 2, got 3"),
    ],
)
def test_unsupported_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DeepRNN(4, 2, **arguments)


def test_initial_state_with_dilation_is_rejected():
    layer = DeepRNN(4, 1, "gru", dilation=2)
    with pytest.raises(ValueError, match="initial_state is not supported with dilation=2"):
        layer(np.zeros((2, 3, 1), "float32"), initial_state=[np.zeros((2, 4), "float32")])
