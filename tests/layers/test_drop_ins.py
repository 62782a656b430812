"""Values and gradients of `LSTM`, `GRU`, and `SimpleRNN` in native code and on XLA, compared with Keras and NumPy.

The reference is Keras' loop. Our layers run in several modes: "native", in native code; "xla", compiled by XLA;
"padded", compiled for a length to which T is rounded up; "plain", as a graph that is not compiled; and "one step", for
T = 1. The tests also check the implementation and the plan that each run selects.
"""

import itertools

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from fast_implementations import NATIVE_MISSING, each_fast_implementation
from without_xla import uncompiled

import deeprnn_keras
from deeprnn_keras.kernels import machine, native
from deeprnn_keras.kernels.native import tensorflow as native_operations
from deeprnn_keras.kernels.xla import SUPPORTED_ACTIVATIONS, plan, stack

T, D, H = 4, 3, 2
CELLS = {
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {}),
    "gru_reset_before": ("GRU", {"reset_after": False}),
    "rnn": ("SimpleRNN", {}),
}
# A batch of 9 rows runs as two pieces of 5 (one row is padding), and one of 7 rows as two pieces of 4. For pieces of 4
# rows, the input projection is hoisted.
FEW_ROWS = np.array(
    [[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 1]], bool
)
MANY_ROWS = np.concatenate([FEW_ROWS, ~FEW_ROWS[3:5]])
# (compiled, padded) in the plan of each mode on XLA. A single step is not compiled.
PLANS = {"xla": (True, False), "padded": (True, True), "plain": (False, False), "one step": (False, False)}
ALL, UNCOMPILED, PLAIN = ("native", "xla", "plain"), ("native", "plain"), ("plain",)
ARGUMENTS = ("go_backwards", "return_sequences", "zero_output_for_mask")
OPTIONS = [dict(zip(ARGUMENTS, values, strict=True)) for values in itertools.product([False, True], repeat=3)]
# Covers all four combinations of values of any two arguments.
PAIRWISE_OPTIONS = [options for options in OPTIONS if sum(options.values()) % 2 == 0]
cells = pytest.mark.parametrize("cell", CELLS)


@pytest.fixture
def run_in_modes(monkeypatch):
    """Return a generator function that calls a function in one mode after another and yields the results."""
    monkeypatch.setattr(machine, "has_gpu", lambda: False)
    run_native_sequence = native_operations.run_sequence

    def results(function, modes=ALL):
        for mode in modes:
            if mode == "native" and NATIVE_MISSING:
                continue
            used = set()

            def make_plan(*arguments):
                xla_plan = plan.make_plan(*arguments[:-1], {})  # with an empty cache of lengths
                xla_plan = uncompiled(xla_plan) if mode == "plain" else xla_plan  # noqa: B023
                used.add((xla_plan.compiled, xla_plan.padded))  # noqa: B023
                return xla_plan

            def run_sequence(*arguments):
                used.add("native")  # noqa: B023
                return run_native_sequence(*arguments)

            with monkeypatch.context() as patch:
                patch.setattr(native.library, "unavailable_reason", lambda: None if mode == "native" else "not built")  # noqa: B023
                patch.setattr(native_operations, "run_sequence", run_sequence)
                patch.setattr(stack, "make_plan", make_plan)
                patch.setattr(plan, "MAX_LENGTHS", 0 if mode == "padded" else 8)
                yield function()
            assert used == {PLANS.get(mode, mode)}

    return results


def pair(rng, cell, units=H, width=D, n=None, implementation="auto", **options):
    """Return our layer and Keras' layer with equal random weights, including biases."""
    name, cell_options = CELLS[cell]
    options = {**cell_options, **options}
    ours = getattr(deeprnn_keras, name)(units, implementation=implementation, **options)
    stock = getattr(keras.layers, name)(units, **options, **({} if cell == "rnn" else {"use_cudnn": False}))
    for layer in (ours, stock):
        layer.build((n, None, width))
    ours.set_weights([rng.normal(scale=0.6, size=w.shape) for w in ours.weights])
    stock.set_weights(ours.get_weights())
    return ours, stock


def inputs(rng, layer, n=9, steps=T, width=D):
    """Return sequences (n, T, d) and non-zero initial states."""
    sizes = tf.nest.flatten(layer.cell.state_size)
    dtype = layer.compute_dtype
    x = tf.constant(rng.normal(size=(n, steps, width)), dtype)
    return x, [tf.constant(rng.normal(size=(n, size)), dtype) for size in sizes]


def with_gradients(layer, x, states=(), mask=None, training=False):
    """Return the results of a call, and the gradients of their weighted sum with respect to x, states, and weights."""
    states = list(states)
    with tf.GradientTape() as tape:
        tape.watch([x, *states])
        results = tf.nest.flatten(layer(x, initial_state=states or None, mask=mask, training=training))
        loss = tf.add_n([tf.cast(tf.reduce_sum(_factors(result) * result), "float64") for result in results])
    return results, tape.gradient(loss, [x, *states, *[w.value for w in layer.trainable_weights]])


def _factors(result):
    """Return distinct factors for a weighted sum in which no terms cancel."""
    angles = tf.cast(tf.range(1, tf.size(result) + 1), "float64")
    factors = tf.round(64 * tf.cos(angles)) / 64  # exactly representable in every dtype
    return tf.cast(tf.reshape(factors, tf.shape(result)), result.dtype)


def assert_near(got, expected, tolerance=1e-5):
    """Assert equal structures, and differences of at most `tolerance` times the largest entry of each tensor."""
    got, expected = tf.nest.flatten(got), tf.nest.flatten(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == other.dtype
        one, other = np.asarray(one, "float64"), np.asarray(other, "float64")
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max(initial=0))


# === Cells, masks, and directions ===


def check(rng, run_in_modes, cell, mask, options, modes=ALL, training=False, n=None, tolerance=1e-5):
    """Assert that all results and gradients of our layer equal those of Keras' layer."""
    ours, stock = pair(rng, cell, return_state=True, **options)
    x, states = inputs(rng, ours, *((n, T) if mask is None else mask.shape))
    expected = with_gradients(stock, x, states, mask)
    for got in run_in_modes(lambda: with_gradients(ours, x, states, mask, training), modes):
        assert_near(got, expected, tolerance)


@cells
def test_values_and_gradients_with_masks(rng, run_in_modes, cell):
    for options in PAIRWISE_OPTIONS:
        # training stores the intermediate results of the forward pass; otherwise, the backward pass recomputes them
        training = options["go_backwards"] != options["return_sequences"]
        check(rng, run_in_modes, cell, MANY_ROWS, options, training=training)


@pytest.mark.parametrize("mask", [None, FEW_ROWS], ids=["no mask", "mask"])
@cells
def test_values_and_gradients_with_few_rows(rng, run_in_modes, cell, mask):
    modes = ALL if mask is None and cell == "gru" else UNCOMPILED
    check(rng, run_in_modes, cell, mask, {"return_sequences": True, "go_backwards": True}, modes, True, len(FEW_ROWS))


ALL_MASKS = {"few rows": FEW_ROWS, "many rows": MANY_ROWS, "T rounded up": np.tile(MANY_ROWS, 3)[:, :9]}


@pytest.mark.parametrize(
    ("mask", "training"),
    [
        pytest.param(
            mask,
            training,
            id=f"{name}-{training}",
            marks=pytest.mark.slow if (name, training) == ("T rounded up", True) else pytest.mark.long,
        )
        for name, mask in ALL_MASKS.items()
        for training in (False, True)
    ],
)
@cells
def test_all_options_masks_and_modes(rng, run_in_modes, monkeypatch, cell, mask, training):
    for options in OPTIONS:
        check(rng, run_in_modes, cell, mask, options, ["native", "xla", "padded", "plain"], training)
    monkeypatch.setattr(plan, "CHUNK_STEPS", 9)
    check(rng, run_in_modes, cell, np.tile(mask, 9)[:, :18], options, ["native", "xla", "padded", "plain"], training)


@cells
def test_fully_masked_without_initial_or_returned_states(rng, run_in_modes, cell):
    ours, stock = pair(rng, cell)
    x, _ = inputs(rng, ours)
    expected = with_gradients(stock, x, (), np.zeros_like(MANY_ROWS))
    for got in run_in_modes(lambda: with_gradients(ours, x, (), np.zeros_like(MANY_ROWS))):
        assert_near(got, expected)


@pytest.mark.parametrize(("mode", "dtype", "tolerance"), [("native", "float32", 1e-6), ("plain", "float64", 1e-12)])
@cells
def test_values_equal_numpy(rng, run_in_modes, cell, mode, dtype, tolerance):
    ours, _ = pair(rng, cell, dtype=dtype, return_sequences=True, return_state=True)
    x, states = inputs(rng, ours)
    outputs, final = oracles.recurrence(x, cell, ours.get_weights(), H, [s.numpy() for s in states], MANY_ROWS)
    expected = [np.asarray(each, dtype) for each in (outputs, *final)]
    for got in run_in_modes(lambda: ours(x, initial_state=states, mask=MANY_ROWS), [mode]):
        assert_near(got, expected, tolerance)


# === Options ===


@cells
def test_without_bias(rng, run_in_modes, cell):
    check(rng, run_in_modes, cell, MANY_ROWS, {"use_bias": False}, UNCOMPILED)


@cells
def test_double_precision(rng, run_in_modes, cell):
    check(rng, run_in_modes, cell, MANY_ROWS, {"dtype": "float64", "return_sequences": True}, PLAIN, tolerance=1e-11)


@cells
def test_time_in_chunks(rng, run_in_modes, monkeypatch, cell):
    monkeypatch.setattr(plan, "CHUNK_STEPS", 3)
    check(rng, run_in_modes, cell, MANY_ROWS, {"return_sequences": True, "go_backwards": True}, UNCOMPILED, True)
    check(rng, run_in_modes, cell, None, {}, UNCOMPILED, n=len(MANY_ROWS))


@pytest.mark.parametrize("activation", SUPPORTED_ACTIVATIONS)
@pytest.mark.parametrize("cell", ["lstm", pytest.param("gru", marks=pytest.mark.slow)])
def test_every_supported_activation(rng, run_in_modes, cell, activation):
    for activations in [(activation, "hard_sigmoid"), ("softsign", activation)]:
        check_activations(rng, run_in_modes, cell, *activations)


@cells
def test_activations_of_every_cell(rng, run_in_modes, cell):
    check_activations(rng, run_in_modes, cell, keras.ops.tanh, "elu")


def check_activations(rng, run_in_modes, cell, activation, recurrent_activation):
    options = {"dtype": "float64", "activation": activation}
    options |= {} if cell == "rnn" else {"recurrent_activation": recurrent_activation}
    check(rng, run_in_modes, cell, np.ones((4, 2), bool), options, PLAIN, tolerance=1e-11)


@pytest.mark.parametrize("activation", SUPPORTED_ACTIVATIONS)
@each_fast_implementation
def test_derivatives_of_activations_far_from_zero(implementation, activation):
    """Derivatives close to 0 or 1 must not suffer from rounding; native code computes 1 - h^2 from its own tanh."""
    if implementation == "native" and activation not in native.SUPPORTED_ACTIVATIONS:
        pytest.skip("native code does not support the activation")
    x = tf.constant([[[z]] for z in (-12.0, -5.0, -0.1, 0.1, 5.0)])
    derivatives = []
    for layers, options in ((deeprnn_keras, {"implementation": implementation}), (keras.layers, {})):
        layer = layers.SimpleRNN(1, activation=activation, kernel_initializer="ones", **options)
        derivatives.append(with_gradients(layer, x)[1][0] / _factors(x))
    np.testing.assert_allclose(*derivatives, rtol=1e-5, atol=1e-6 if implementation == "native" else 0)


@pytest.mark.parametrize(("n", "steps", "width", "units"), [(2, 1, 3, 2), (1, 1, 1, 1), (1, 2, 1, 1)])
@cells
def test_smallest_sizes(rng, run_in_modes, cell, n, steps, width, units):
    ours, stock = pair(rng, cell, units, width, return_sequences=True, return_state=True)
    x, states = inputs(rng, ours, n, steps, width)
    for mask in (None, np.eye(n, steps, dtype=bool)):
        modes = ["native", "one step"] if steps == 1 else ALL if cell == "rnn" and mask is None else UNCOMPILED
        expected = with_gradients(stock, x, states, mask)
        for got in run_in_modes(lambda: with_gradients(ours, x, states, mask, True), modes):  # noqa: B023
            assert_near(got, expected)


@cells
def test_half_precision_rounds_float32_results_once(rng, run_in_modes, cell):
    policy = {"gru": "float16", "gru_reset_before": "mixed_bfloat16"}.get(cell, "mixed_float16")
    half, options = policy.removeprefix("mixed_"), {"return_sequences": True, "return_state": True}
    ours, stock = pair(rng, cell, dtype=policy, **options)
    _, exact = pair(rng, cell, **options)
    exact.set_weights(stock.get_weights())
    x_and_states = inputs(rng, ours)
    expected = with_gradients(exact, *tf.nest.map_structure(lambda t: tf.cast(t, "float32"), x_and_states), MANY_ROWS)
    of_keras = with_gradients(stock, *x_and_states, MANY_ROWS)
    for got in run_in_modes(lambda: with_gradients(ours, *x_and_states, MANY_ROWS), UNCOMPILED):
        errors = []
        for one, other, reference in zip(*map(tf.nest.flatten, (got, of_keras, expected)), strict=True):
            assert one.dtype == other.dtype
            rounding = 1e-5 if one.dtype == "float32" else {"float16": 2**-11, "bfloat16": 2**-8}[half]
            one, other = (np.asarray(tf.cast(t, "float32")) for t in (one, other))
            largest = np.abs(reference).max()
            np.testing.assert_allclose(one, reference, rtol=1.01 * rounding, atol=1e-5 * largest)
            errors.append([np.linalg.norm(result - reference) / largest for result in (one, other)])
        assert np.less(*np.sum(errors, axis=0))  # the total error is smaller than that of Keras' layer


# === Stateful, bidirectional, and in graphs ===


@cells
def test_stateful(rng, run_in_modes, cell):
    ours, stock = pair(rng, cell, n=len(MANY_ROWS), stateful=True, return_sequences=True)
    batches = [inputs(rng, ours) for _ in range(3)]

    def run_batches(layer):
        layer.reset_state()
        results = [layer(x, mask=MANY_ROWS) for x, _ in batches]
        results.append(with_gradients(layer, *batches[0], MANY_ROWS))  # initial states replace the carried ones
        results += [tf.identity(state.value) for state in layer.states]
        layer.reset_state()
        return [*results, layer(batches[0][0])]

    expected = run_batches(stock)
    for got in run_in_modes(lambda: run_batches(ours), UNCOMPILED):
        assert_near(got, expected)


@cells
def test_bidirectional(rng, run_in_modes, cell):
    sequences = cell in ("lstm", "gru_reset_before")
    layers = pair(rng, cell, return_sequences=sequences, return_state=True)
    ours, stock = (keras.layers.Bidirectional(layer, "concat" if sequences else "sum") for layer in layers)
    ours.build((None, None, D))
    stock.build((None, None, D))
    stock.set_weights([rng.normal(scale=0.6, size=w.shape) for w in stock.weights])
    ours.set_weights(stock.get_weights())
    assert type(ours.backward_layer) is type(layers[0])
    x, forward = inputs(rng, ours.forward_layer)
    states = [*forward, *inputs(rng, ours.forward_layer)[1]]
    expected = with_gradients(stock, x, states, MANY_ROWS)
    modes = ALL if cell == "rnn" else UNCOMPILED
    for got in run_in_modes(lambda: with_gradients(ours, x, states, MANY_ROWS), modes):
        assert_near(got, expected)


GRAPHS = [("lstm", None), ("rnn", T)]
OTHER_GRAPHS = [graph for graph in itertools.product(CELLS, (None, T)) if graph not in GRAPHS]
OTHER_GRAPHS = [pytest.param(*graph, marks=pytest.mark.slow) for graph in OTHER_GRAPHS]


@pytest.mark.parametrize(("cell", "steps"), [*GRAPHS, *OTHER_GRAPHS])
def test_graph_with_unknown_sizes(rng, run_in_modes, cell, steps):
    """If T is rounded up, pass no mask, because a mask could hide an error in the padding."""
    ours, stock = pair(rng, cell, go_backwards=True, return_sequences=True, return_state=True)
    signature = [tf.TensorSpec((None, steps, D)), [tf.TensorSpec((None, H))] * len(inputs(rng, ours)[1])]
    signature += [tf.TensorSpec((None, steps), "bool")] if steps else []

    def trace():
        run = tf.function(lambda x, states, *mask: with_gradients(ours, x, states, *mask, training=True))
        return run.get_concrete_function(*signature)

    traced = list(run_in_modes(trace, ["native", "xla" if steps else "padded"]))
    for n in (9, 1):
        x, states = inputs(rng, ours, n, steps or n)
        mask = [MANY_ROWS[:n]] if steps else []
        expected = with_gradients(stock, x, states, *mask)
        for run in traced:
            assert_near(run(x, states, *mask), expected)
