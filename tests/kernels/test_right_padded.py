"""Masks of any form on Keras' cuDNN path, against Keras' loop.

Keras' cuDNN code runs here, including its assertions; only the operation that it calls, which requires a GPU, is
simulated.
"""

import importlib
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras.kernels.cudnn.right_padded import run_right_padded

keras_rnn = importlib.import_module("keras.src.backend.tensorflow.rnn")  # the package has a function of the same name
UNITS, WIDTH = 3, 2
MASKS = {
    "none masked": [[1, 1, 1, 1], [1, 1, 1, 1]],
    "right": [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]],
    "left": [[0, 1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]],
    "any": [[0, 1, 0, 1, 0], [1, 0, 1, 1, 0], [0, 0, 1, 0, 0], [1, 1, 0, 0, 1], [0, 1, 1, 0, 1]],
    "right, and a row without a valid step": [[1, 1, 0], [0, 0, 0], [1, 1, 1]],
    "any, and rows without a valid step": [[0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]],
    "no valid step": [[0, 0, 0], [0, 0, 0]],
    "one step": [[1], [0], [1]],
    "one valid step": [[1]],
    "one masked step": [[0]],
    "one row": [[0, 1, 1, 0, 1]],
}
CELLS = pytest.mark.parametrize("cell", ["LSTM", "GRU"])
ARGUMENTS = ("return_sequences", "go_backwards", "zero_output_for_mask")
OPTIONS = [dict(zip(ARGUMENTS, values, strict=True)) for values in itertools.product([False, True], repeat=3)]
# One cell for each of four OPTIONS.
FOUR_CELLS, OTHER_CELLS = ["LSTM", "GRU", "GRU", "LSTM"], ["GRU", "LSTM", "LSTM", "GRU"]


def option_names(value):
    return "-".join(name for name in value if value[name]) if isinstance(value, dict) else value


def cudnn_operation(
    input,
    input_h,
    input_c,
    params,
    is_training,
    rnn_mode,
    sequence_lengths,
    time_major,
):
    """Simulate `CudnnRNNV3`: gates i, f, c, o or r, z, h; zeros at steps after the end of a row, which are ignored."""
    assert is_training and not time_major
    gates = {"lstm": 4, "gru": 3}[rnn_mode]
    weights = tf.split(params, [gates * WIDTH * UNITS, gates * UNITS * UNITS, gates * UNITS, gates * UNITS])
    kernel, recurrent = (tf.reshape(w, (gates, UNITS, -1)) for w in weights[:2])
    biases = [tf.reshape(b, (gates, 1, UNITS)) for b in weights[2:]]
    valid = tf.sequence_mask(sequence_lengths, tf.shape(input)[1])[:, :, None]
    input = tf.where(valid, input, 0)

    def step(carry, inputs):
        (x, valid), (_, h, c) = inputs, carry
        a = tf.einsum("nd,ghd->gnh", x, kernel) + biases[0]
        b = tf.einsum("nk,ghk->gnh", h, recurrent) + biases[1]
        if rnn_mode == "lstm":
            i, f, g, o = tf.unstack(a + b)
            new_c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
            new_h = tf.sigmoid(o) * tf.tanh(new_c)
        else:
            r, z = tf.unstack(tf.sigmoid(a[:2] + b[:2]))
            new_c = c
            new_h = z * h + (1 - z) * tf.tanh(a[2] + r * b[2])
        return tf.where(valid, new_h, 0), tf.where(valid, new_h, h), tf.where(valid, new_c, c)

    h = input_h[:, 0]
    c = input_c[:, 0] if rnn_mode == "lstm" else tf.zeros_like(h)
    by_time = tf.transpose(input, (1, 0, 2)), tf.transpose(valid, (1, 0, 2))
    outputs, h, c = tf.scan(step, by_time, (tf.zeros_like(h), h, c))
    return tf.transpose(outputs, (1, 0, 2)), h[-1][:, None], c[-1][:, None], None, None


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    """Let Keras find a GPU."""
    monkeypatch.setattr(keras_rnn, "_is_gpu_available", lambda: True)
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": True, "is_rocm_build": False})
    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", cudnn_operation)


def build_layer(rng, cell, **options):
    """Build a stock layer in float64, so that close but different results are distinguished."""
    layer = getattr(keras.layers, cell)(UNITS, dtype="float64", **options)
    layer.build((None, None, WIDTH))
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return layer


def state_sizes(layer):
    return tf.nest.flatten(layer.cell.state_size)


def random_inputs(rng, layer, mask):
    """Return sequences, mask, and initial states."""
    mask = np.array(mask, bool)
    states = [rng.normal(size=(len(mask), UNITS)) for _ in state_sizes(layer)]
    return tf.constant(rng.normal(size=(*mask.shape, WIDTH))), tf.constant(mask), [tf.constant(s) for s in states]


def signature(layer, n=None, steps=None):
    """Return the shapes of `random_inputs` with a mask of unknown sizes."""
    state = tf.TensorSpec((n, UNITS), "float64")
    return (
        tf.TensorSpec((n, steps, WIDTH), "float64"),
        tf.TensorSpec((None, None), tf.bool),
        [state for _ in state_sizes(layer)],
    )


def run_loop(layer, x, mask, states):
    layer.use_cudnn = False
    return layer.inner_loop(x, states, mask)


def run_cudnn(layer, x, mask, states):
    layer.use_cudnn = True
    return layer.inner_loop(x, states, mask)


def run_with_any_mask(layer, x, mask, states, run=run_cudnn):
    return run_right_padded(
        lambda x, mask: run(layer, x, mask, states),
        x,
        mask,
        states,
        return_sequences=layer.return_sequences,
        go_backwards=layer.go_backwards,
        zero_output_for_mask=layer.zero_output_for_mask,
    )


def distinct_factors(y, start):
    """Return distinct numbers in the shape of y."""
    return tf.reshape(tf.sin(tf.cast(start + tf.range(tf.size(y)), y.dtype)), tf.shape(y))


def with_gradients(run, layer, x, mask, states):
    """Return the results of `run`, and the gradients of a weighted sum of all their numbers, with distinct weights."""
    with tf.GradientTape() as tape:
        tape.watch([x, *states])
        last, outputs, final = run(layer, x, mask, states)
        results = [last, outputs, *final]
        loss = tf.add_n([tf.reduce_sum(distinct_factors(y, start) * y) for start, y in enumerate(results)])
    sources = [x, *states, *(w.value for w in layer.trainable_weights)]
    return results, tape.gradient(loss, sources, unconnected_gradients="zero")


def assert_same(actual, expected):
    for one, other in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


@CELLS
def test_simulated_cudnn_equals_loop_at_valid_steps(rng, cell):
    layer = build_layer(rng, cell, return_sequences=True)
    x, mask, states = random_inputs(rng, layer, MASKS["right"])
    (last, outputs, final), (expected_last, expected, expected_final) = (
        run(layer, x, mask, states) for run in (run_cudnn, run_loop)
    )
    assert_same([last, final], [expected_last, expected_final])
    assert_same(outputs, tf.where(mask[:, :, None], expected, 0))
    assert np.abs(outputs - expected).max() > 0.1


@CELLS
@pytest.mark.parametrize("mask", ["left", "any", "right, and a row without a valid step", "one masked step"])
def test_keras_alone_rejects_mask(rng, mask, cell):
    layer = build_layer(rng, cell)
    arguments = random_inputs(rng, layer, MASKS[mask])
    with pytest.raises(tf.errors.InvalidArgumentError, match="right-padded"):
        tf.function(run_cudnn, autograph=False)(layer, *arguments)
    with pytest.raises(ValueError, match="cuDNN is not supported"):  # Keras' eager error
        run_cudnn(layer, *arguments)


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        pytest.param(
            cell, options, marks=() if options["return_sequences"] and options["go_backwards"] else pytest.mark.slow
        )
        for cell, options in zip(FOUR_CELLS * 2, OPTIONS, strict=True)
    ],
    ids=option_names,
)
def test_values_and_gradients_in_graph_with_unknown_sizes(rng, options, cell):
    layer = build_layer(rng, cell, **options)

    @tf.function(input_signature=signature(layer), autograph=False)
    def both(x, mask, states):
        return [with_gradients(run, layer, x, mask, states) for run in (run_with_any_mask, run_loop)]

    for mask in MASKS.values():
        assert_same(*both(*random_inputs(rng, layer, mask)))


@pytest.mark.parametrize(("cell", "options"), list(zip(OTHER_CELLS * 2, OPTIONS, strict=True)), ids=option_names)
@pytest.mark.parametrize("mask", ["right", "any, and rows without a valid step"])
def test_values_and_gradients_in_eager_mode(rng, mask, options, cell):
    layer = build_layer(rng, cell, **options)
    arguments = random_inputs(rng, layer, MASKS[mask])
    assert_same(with_gradients(run_with_any_mask, layer, *arguments), with_gradients(run_loop, layer, *arguments))


@pytest.mark.parametrize("options", OPTIONS, ids=option_names)
def test_keras_falling_back_to_its_loop(rng, options):
    """Keras' `inner_loop` falls back to its loop if it finds no cuDNN."""
    layer = build_layer(rng, "LSTM", **options)
    arguments = random_inputs(rng, layer, MASKS["any, and rows without a valid step"])
    assert_same(run_with_any_mask(layer, *arguments, run=run_loop), run_loop(layer, *arguments))


@CELLS
@pytest.mark.parametrize("mask", ["right", "any, and rows without a valid step"])
def test_values_at_masked_steps_are_ignored(rng, mask, cell):
    """A NaN at a masked step does not reach a gradient, unlike in Keras' loop."""
    layer = build_layer(rng, cell, return_sequences=True)
    x, mask, states = random_inputs(rng, layer, MASKS[mask])
    with_nan = tf.where(mask[:, :, None], x, np.nan)
    assert_same(*(with_gradients(run_with_any_mask, layer, x, mask, states) for x in (with_nan, x)))


def test_right_padded_sequences_are_not_moved(rng, monkeypatch):
    monkeypatch.setattr(tf, "argsort", None)
    layer = build_layer(rng, "GRU")
    arguments = random_inputs(rng, layer, MASKS["right"])
    assert_same(run_with_any_mask(layer, *arguments), run_loop(layer, *arguments))
    with pytest.raises(TypeError):
        run_with_any_mask(layer, *random_inputs(rng, layer, MASKS["left"]))


@pytest.mark.parametrize("sizes", [(None, None), (None, 4), (5, None), (5, 4)])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_static_sizes_are_kept(rng, return_sequences, sizes):
    layer = build_layer(rng, "LSTM", return_sequences=return_sequences)
    shapes = []

    def run(layer, x, mask, states):
        shapes.extend([x.shape, mask.shape])
        return run_cudnn(layer, x, mask, states)

    def call(x, mask, states):
        return run_with_any_mask(layer, x, mask, states, run=run)

    last, outputs, states = (
        tf.function(call, autograph=False).get_concrete_function(*signature(layer, *sizes)).structured_outputs
    )
    n, steps = sizes
    assert [shape.as_list() for shape in shapes] == [[n, steps, WIDTH], [n, steps]]
    assert last.shape[-1] == UNITS and all(state.shape[-1] == UNITS for state in states)
    assert outputs.shape.as_list()[1:] == [steps if return_sequences else 1, UNITS]
    if return_sequences:
        assert outputs.shape[0] == n


@pytest.mark.parametrize("shape", [(2, 5), (1, 4), (2, 4, 1), (2,)])
def test_mask_of_wrong_shape_is_rejected(rng, shape):
    layer = build_layer(rng, "GRU")
    x, _, states = random_inputs(rng, layer, np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"mask must have shape \(n, T\) = \(2, 4\), got shape \(" + str(shape[0])):
        run_with_any_mask(layer, x, tf.ones(shape, tf.bool), states)


def test_integer_mask_is_read_as_in_keras(rng):
    layer = build_layer(rng, "GRU", return_sequences=True)
    x, mask, states = random_inputs(rng, layer, MASKS["any"])
    assert_same(run_with_any_mask(layer, x, tf.cast(mask, "int32"), states), run_loop(layer, x, mask, states))
