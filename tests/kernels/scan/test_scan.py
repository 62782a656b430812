"""The scan against Keras' loop in float64: values, gradients, masks, states, second derivatives, and selection."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras import RNN, DeepRNN, explain_kernels, register_cell
from deeprnn_keras.cells import QRNNCell
from deeprnn_keras.equations.standard import LSTMEquations
from deeprnn_keras.equations.unitwise import unitwise
from deeprnn_keras.specs import CELLS
from tests.derivatives import values_and_gradients

register_cell("wide_qrnn_for_tests", partial(QRNNCell, window=2))
UNITWISE = ("wide_qrnn_for_tests", "indrnn", "min_gru", "min_lstm", "qrnn", "sru", "lru", "rg_lru")
cells = pytest.mark.parametrize("cell", UNITWISE)
SIZES = [(1, 1, 1, 1), (3, 7, 4, 5), (2, 3, 2, 37), (2, 9, 3, 300)]
"""(n, T, d, h): within a vector, one strip that ends within a vector, and several strips."""
OPTIONS = ({"return_sequences": True}, {}, {"return_sequences": True, "go_backwards": True})


def weights_of(layer, rng):
    """Return random weights; those of a decay are positive."""
    return [
        rng.uniform(0.1, 1.0, weight.shape)
        if "decay" in weight.path
        else rng.normal(size=weight.shape) / np.sqrt(weight.shape[0] if len(weight.shape) > 1 else 4)
        for weight in layer.weights
    ]


@cells
@pytest.mark.parametrize("offset", [0, *(pytest.param(one, marks=pytest.mark.long) for one in (1, 2))])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_values_and_gradients_equal_the_loop(rng, cell, size, offset):
    """Each size runs with all masks and all options; the default tests pair each mask with each option once."""
    n, steps, d, h = size
    x = rng.normal(size=(n, steps, d))
    example = RNN(CELLS[cell].cell(h))
    example.build((None, None, d))
    weights = weights_of(example, rng)
    states = [0.5 * rng.normal(size=(n, width)) for width in example.cell.equations.state_widths().values()]
    for index, mask in enumerate((None, rng.random((n, steps)) < 0.6, np.zeros((n, steps), bool))):
        options = {"return_state": True, **OPTIONS[(index + SIZES.index(size) + offset) % 3]}
        ours = RNN(CELLS[cell].cell(h), implementation="scan", **options)
        loop = RNN(CELLS[cell].cell(h, dtype="float64"), implementation="loop", dtype="float64", **options)
        pairs = zip(*(values_and_gradients(layer, weights, x, states, mask) for layer in (ours, loop)), strict=True)
        for actual, expected in pairs:
            np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-5 * max(1.0, np.abs(expected).max()))


@cells
def test_second_derivatives_equal_the_loop(rng, cell):
    x = rng.normal(size=(2, 4, 3))
    found = []
    for implementation, dtype in (("scan", "float32"), ("loop", "float64")):
        layer = RNN(CELLS[cell].cell(5, dtype=dtype), True, implementation=implementation, dtype=dtype)
        layer.build((None, None, 3))
        layer.set_weights(weights_of(layer, np.random.default_rng(1)))
        inputs = tf.cast(x, dtype)
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                loss = tf.reduce_sum(tf.sin(layer(inputs, training=True)))
            penalty = tf.reduce_sum(inner.gradient(loss, inputs) ** 2)
        found.append(outer.gradient(penalty, [w.value for w in layer.trainable_weights], unconnected_gradients="zero"))
    assert any(np.any(gradient) for gradient in found[0])
    for actual, expected in zip(*found, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_results_do_not_depend_on_the_batch(rng):
    x = rng.normal(size=(5, 6, 3)).astype("float32")
    layer = DeepRNN(40, 2, "sru", return_sequences=True, seed=1)
    whole = layer(x).numpy()
    np.testing.assert_array_equal(whole, layer(x).numpy())
    np.testing.assert_array_equal(whole[1:2], layer(x[1:2]).numpy())


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_computes_in_float32(rng, policy):
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    exact = DeepRNN(4, 2, "min_gru", return_sequences=True, seed=1)
    half = DeepRNN(4, 2, "min_gru", return_sequences=True, seed=1, dtype=policy)
    exact(x), half(x)
    half.set_weights(exact.get_weights())
    assert half(x).dtype == half.compute_dtype
    np.testing.assert_allclose(tf.cast(half(x), "float32"), exact(x), atol=0.02)


@pytest.mark.slow
def test_fit_with_unknown_batch_and_steps_learns_as_the_loop_does(rng):
    x, losses = rng.normal(size=(12, 6, 3)).astype("float32"), []
    for implementation in ("auto", "loop"):
        keras.utils.set_random_seed(3)
        layer = DeepRNN(8, 2, "min_gru", implementation=implementation, return_sequences=True, dropout=0.2)
        model = keras.Sequential([keras.Input((None, 3)), layer, keras.layers.Dense(3)])
        model.compile(keras.optimizers.Adam(0.02), "mse")
        losses.append(model.fit(x, x, batch_size=5, epochs=6, verbose=0).history["loss"])
    assert losses[0][-1] < 0.8 * losses[0][0]
    np.testing.assert_allclose(*losses, rtol=1e-4)


@cells
def test_scan_is_selected_where_it_can_run(cell):
    layer = DeepRNN(4, 2, cell)
    assert {row.kernel for row in explain_kernels(layer)} == {"scan"}
    double = DeepRNN(4, 2, cell, dtype="float64")
    assert {row.kernel for row in explain_kernels(double)} == {"xla" if cell in ("indrnn", "sru") else "linear_scan"}


def test_remat_and_other_activations(recwarn):
    stack = DeepRNN(4, 2, "min_gru", remat=True)  # the scan stores states only in any case
    stack(np.zeros((1, 2, 3), "float32"))
    assert {row.kernel for row in explain_kernels(stack)} == {"scan"} and not recwarn.list
    assert {row.kernel for row in explain_kernels(DeepRNN(4, 2, "min_gru", "elu"))} == {"scan"}
    of_user = DeepRNN(4, 2, "min_gru", lambda a: keras.ops.sin(a))
    assert {row.kernel for row in explain_kernels(of_user)} == {"xla"}


def test_other_cells_are_refused_with_the_reason():
    with pytest.raises(
        ValueError, match="the scan supports cells with an elementwise recurrence, not RecurrentHighway"
    ):
        DeepRNN(4, cell="rhn", implementation="scan")
    with pytest.raises(ValueError, match="with an elementwise recurrence, not lstm"):
        DeepRNN(4, implementation="scan")
    with pytest.raises(ValueError, match="the scan computes in float32"):
        DeepRNN(4, cell="min_gru", implementation="scan", dtype="float64")


def test_units_of_other_cells_interact():
    assert unitwise(LSTMEquations(4)) is None
    names = {name for name in CELLS.names() if CELLS[name].equations and unitwise(CELLS[name].equations(4))}
    assert names >= set(UNITWISE)
    assert not names & {"rnn", "gru", "lstm", "rhn", "mgu", "layer_norm_lstm", "layer_norm_gru", "fast_grnn"}
