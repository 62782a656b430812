"""Any mask on Keras' cuDNN path, against Keras' loop.

Keras' own cuDNN code runs here, assertions included; only the operation under it, which needs a GPU, is replaced.
"""

import importlib
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras.kernels.cudnn.right_padded import right_padded

keras_rnn = importlib.import_module("keras.src.backend.tensorflow.rnn")  # `import` finds the function of that name
UNITS, WIDTH = 3, 2
MASKS = {
    "none masked": [[1, 1, 1, 1], [1, 1, 1, 1]],
    "right": [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]],
    "left": [[0, 1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]],
    "any": [[0, 1, 0, 1, 0], [1, 0, 1, 1, 0], [0, 0, 1, 0, 0], [1, 1, 0, 0, 1], [0, 1, 1, 0, 1]],
    "right, and a row without a valid step": [[1, 1, 0], [0, 0, 0], [1, 1, 1]],
    "any, and rows without a valid step": [[0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]],
    "no valid step at all": [[0, 0, 0], [0, 0, 0]],
    "one step": [[1], [0], [1]],
    "one valid step": [[1]],
    "one masked step": [[0]],
    "one row": [[0, 1, 1, 0, 1]],
}
CELLS = pytest.mark.parametrize("cell", ["LSTM", "GRU"])
ARGUMENTS = ("return_sequences", "go_backwards", "zero_output_for_mask")
HOW = [dict(zip(ARGUMENTS, values, strict=True)) for values in itertools.product([False, True], repeat=3)]
FOUR_CELLS, OTHER_CELLS = ["LSTM", "GRU", "GRU", "LSTM"], ["GRU", "LSTM", "LSTM", "GRU"]  # for four of HOW


def named(value):
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
    """`CudnnRNNV3` in plain steps: gates i f c o or r z h, zeros behind the end of a row, where it does not read."""
    assert is_training and not time_major
    gates = {"lstm": 4, "gru": 3}[rnn_mode]
    weights = tf.split(params, [gates * WIDTH * UNITS, gates * UNITS * UNITS, gates * UNITS, gates * UNITS])
    kernel, recurrent = (tf.reshape(w, (gates, UNITS, -1)) for w in weights[:2])
    biases = [tf.reshape(b, (gates, 1, UNITS)) for b in weights[2:]]
    valid = tf.sequence_mask(sequence_lengths, tf.shape(input)[1])[:, :, None]
    input = tf.where(valid, input, 0)

    def step(carry, now):
        (x, valid), (_, h, c) = now, carry
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
    """Keras takes this machine for one with a GPU."""
    monkeypatch.setattr(keras_rnn, "_is_gpu_available", lambda: True)
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": True, "is_rocm_build": False})
    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", cudnn_operation)


def built(rng, cell, **how):
    """A stock layer in double precision, which tells the same number from a near one."""
    layer = getattr(keras.layers, cell)(UNITS, dtype="float64", **how)
    layer.build((None, None, WIDTH))
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return layer


def states_of(layer):
    return tf.nest.flatten(layer.cell.state_size)


def inputs(rng, layer, mask):
    """Sequences, mask, initial states."""
    mask = np.array(mask, bool)
    states = [rng.normal(size=(len(mask), UNITS)) for _ in states_of(layer)]
    return tf.constant(rng.normal(size=(*mask.shape, WIDTH))), tf.constant(mask), [tf.constant(s) for s in states]


def signature(layer, n=None, steps=None):
    """The shapes of `inputs`, but for a mask of unknown sizes: those of x count."""
    state = tf.TensorSpec((n, UNITS), "float64")
    return (
        tf.TensorSpec((n, steps, WIDTH), "float64"),
        tf.TensorSpec((None, None), tf.bool),
        [state for _ in states_of(layer)],
    )


def by_loop(layer, x, mask, states):
    layer.use_cudnn = False
    return layer.inner_loop(x, states, mask)


def by_cudnn(layer, x, mask, states):
    layer.use_cudnn = True
    return layer.inner_loop(x, states, mask)


def by_right_padded(layer, x, mask, states, run=by_cudnn):
    return right_padded(
        lambda x, mask: run(layer, x, mask, states),
        x,
        mask,
        states,
        return_sequences=layer.return_sequences,
        go_backwards=layer.go_backwards,
        zero_output_for_mask=layer.zero_output_for_mask,
    )


def counting(y, start):
    """Numbers in y's shape, no two of them equal."""
    return tf.reshape(tf.sin(tf.cast(start + tf.range(tf.size(y)), y.dtype)), tf.shape(y))


def with_gradients(way, layer, x, mask, states):
    """What `way` gives, and the gradients of a sum of it all, each number counted differently."""
    with tf.GradientTape() as tape:
        tape.watch([x, *states])
        last, outputs, final = way(layer, x, mask, states)
        results = [last, outputs, *final]
        loss = tf.add_n([tf.reduce_sum(counting(y, start) * y) for start, y in enumerate(results)])
    sources = [x, *states, *(w.value for w in layer.trainable_weights)]
    return results, tape.gradient(loss, sources, unconnected_gradients="zero")


def assert_same(got, wanted):
    for ours, theirs in zip(tf.nest.flatten(got), tf.nest.flatten(wanted), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


@CELLS
def test_the_simulated_cudnn_is_right(rng, cell):
    layer = built(rng, cell, return_sequences=True)
    x, mask, states = inputs(rng, layer, MASKS["right"])
    (last, outputs, final), (wanted_last, wanted, wanted_final) = (
        way(layer, x, mask, states) for way in (by_cudnn, by_loop)
    )
    assert_same([last, final], [wanted_last, wanted_final])
    assert_same(outputs, tf.where(mask[:, :, None], wanted, 0))
    assert np.abs(outputs - wanted).max() > 0.1


@CELLS
@pytest.mark.parametrize("mask", ["left", "any", "right, and a row without a valid step", "one masked step"])
def test_without_us_keras_refuses_the_mask(rng, mask, cell):
    layer = built(rng, cell)
    given = inputs(rng, layer, MASKS[mask])
    with pytest.raises(tf.errors.InvalidArgumentError, match="right-padded"):
        tf.function(by_cudnn, autograph=False)(layer, *given)
    with pytest.raises(ValueError, match="cuDNN is not supported"):  # in eager mode Keras takes it for no cuDNN
        by_cudnn(layer, *given)


@pytest.mark.parametrize(
    ("cell", "how"),
    [
        pytest.param(cell, how, marks=() if how["return_sequences"] and how["go_backwards"] else pytest.mark.slow)
        for cell, how in zip(FOUR_CELLS * 2, HOW, strict=True)
    ],
    ids=named,
)
def test_values_and_gradients_in_a_graph_of_unknown_sizes(rng, how, cell):
    layer = built(rng, cell, **how)

    @tf.function(input_signature=signature(layer), autograph=False)
    def both(x, mask, states):
        return [with_gradients(way, layer, x, mask, states) for way in (by_right_padded, by_loop)]

    for mask in MASKS.values():
        assert_same(*both(*inputs(rng, layer, mask)))


@pytest.mark.parametrize(("cell", "how"), list(zip(OTHER_CELLS * 2, HOW, strict=True)), ids=named)
@pytest.mark.parametrize("mask", ["right", "any, and rows without a valid step"])
def test_values_and_gradients_in_eager_mode(rng, mask, how, cell):
    layer = built(rng, cell, **how)
    given = inputs(rng, layer, MASKS[mask])
    assert_same(with_gradients(by_right_padded, layer, *given), with_gradients(by_loop, layer, *given))


@pytest.mark.parametrize("how", HOW, ids=named)
def test_a_run_that_is_the_loop_after_all(rng, how):
    """Keras' `inner_loop` turns to its loop by itself where it finds no cuDNN."""
    layer = built(rng, "LSTM", **how)
    given = inputs(rng, layer, MASKS["any, and rows without a valid step"])
    assert_same(by_right_padded(layer, *given, run=by_loop), by_loop(layer, *given))


@CELLS
@pytest.mark.parametrize("mask", ["right", "any, and rows without a valid step"])
def test_what_stands_at_masked_steps_does_not_matter(rng, mask, cell):
    """Nor does it reach a gradient, as it does in Keras' loop."""
    layer = built(rng, cell, return_sequences=True)
    x, mask, states = inputs(rng, layer, MASKS[mask])
    spoilt = tf.where(mask[:, :, None], x, np.nan)
    assert_same(*(with_gradients(by_right_padded, layer, x, mask, states) for x in (spoilt, x)))


def test_what_is_right_padded_is_not_moved(rng, monkeypatch):
    monkeypatch.setattr(tf, "argsort", None)
    layer = built(rng, "GRU")
    given = inputs(rng, layer, MASKS["right"])
    assert_same(by_right_padded(layer, *given), by_loop(layer, *given))
    with pytest.raises(TypeError):
        by_right_padded(layer, *inputs(rng, layer, MASKS["left"]))


@pytest.mark.parametrize("sizes", [(None, None), (None, 4), (5, None), (5, 4)])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_known_sizes_stay_known(rng, return_sequences, sizes):
    layer = built(rng, "LSTM", return_sequences=return_sequences)
    seen = []

    def run(layer, x, mask, states):
        seen.extend([x.shape, mask.shape])
        return by_cudnn(layer, x, mask, states)

    def call(x, mask, states):
        return by_right_padded(layer, x, mask, states, run=run)

    last, outputs, states = (
        tf.function(call, autograph=False).get_concrete_function(*signature(layer, *sizes)).structured_outputs
    )
    n, steps = sizes
    assert [shape.as_list() for shape in seen] == [[n, steps, WIDTH], [n, steps]]
    assert last.shape[-1] == UNITS and all(state.shape[-1] == UNITS for state in states)
    assert outputs.shape.as_list()[1:] == [steps if return_sequences else 1, UNITS]
    if return_sequences:
        assert outputs.shape[0] == n


@pytest.mark.parametrize("shape", [(2, 5), (1, 4), (2, 4, 1), (2,)])
def test_a_mask_of_another_shape_is_named(rng, shape):
    layer = built(rng, "GRU")
    x, _, states = inputs(rng, layer, np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"mask must be \(n, T\), here \(2, 4\), got shape \(" + str(shape[0])):
        by_right_padded(layer, x, tf.ones(shape, tf.bool), states)


def test_a_mask_of_numbers_is_read_as_keras_reads_it(rng):
    layer = built(rng, "GRU", return_sequences=True)
    x, mask, states = inputs(rng, layer, MASKS["any"])
    assert_same(by_right_padded(layer, x, tf.cast(mask, "int32"), states), by_loop(layer, x, mask, states))
