"""The drop-ins `LSTM`, `GRU`, `SimpleRNN` on XLA: values and gradients of `keras.layers` and of NumPy.

The reference is Keras' loop. Ours runs by XLA, by XLA with T rounded up, and as a plain graph: each plan is checked.
"""

import itertools

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from without_xla import uncompiled

import deeprnn_keras
from deeprnn_keras.kernels import machine
from deeprnn_keras.kernels.xla import SUPPORTED_ACTIVATIONS, plan, stack

T, D, H = 4, 3, 2
CELLS = {
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {}),
    "gru_reset_before": ("GRU", {"reset_after": False}),
    "rnn": ("SimpleRNN", {}),
}
# Nine rows run as two pieces of five; seven as two of four, few enough to take the input's products beforehand.
FEW = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 1]], bool)
MANY = np.concatenate([FEW, ~FEW[3:5]])
# How each way is planned: compiled, padded. One step is not worth XLA.
WAYS = {"xla": (True, False), "padded": (True, True), "plain": (False, False), "one step": (False, False)}
BOTH, PLAIN = ("xla", "plain"), ("plain",)
ARGUMENTS = ("go_backwards", "return_sequences", "zero_output_for_mask")
HOW = [dict(zip(ARGUMENTS, values, strict=True)) for values in itertools.product([False, True], repeat=3)]
PAIRS = [how for how in HOW if sum(how.values()) % 2 == 0]  # each two values of two arguments meet
cells = pytest.mark.parametrize("cell", CELLS)


@pytest.fixture
def each_way(monkeypatch):
    """Calls a function in one way after another: the results."""
    monkeypatch.setattr(machine, "has_gpu", lambda: False)

    def results(function, ways=BOTH):
        for way in ways:
            plans = []

            def planned(*arguments):
                how = plan.make_plan(*arguments[:-1], {})  # each way meets the lengths for the first time
                plans.append(uncompiled(how) if way == "plain" else how)  # noqa: B023
                return plans[-1]  # noqa: B023

            with monkeypatch.context() as patch:
                patch.setattr(stack, "make_plan", planned)
                patch.setattr(plan, "MAX_LENGTHS", 0 if way == "padded" else 8)
                yield function()
            assert {(how.compiled, how.padded) for how in plans} == {WAYS[way]}

    return results


def pair(rng, cell, units=H, width=D, n=None, **how):
    """Ours and Keras' layer, with equal random weights, biases too."""
    name, more = CELLS[cell]
    ours = getattr(deeprnn_keras, name)(units, **more, **how)
    stock = getattr(keras.layers, name)(units, **more, **how, **({} if cell == "rnn" else {"use_cudnn": False}))
    for layer in (ours, stock):
        layer.build((n, None, width))
    ours.set_weights([rng.normal(scale=0.6, size=w.shape) for w in ours.weights])
    stock.set_weights(ours.get_weights())
    return ours, stock


def inputs(rng, layer, n=9, steps=T, width=D):
    """Sequences (n, T, d), and initial states, none of them zero."""
    sizes = tf.nest.flatten(layer.cell.state_size)
    dtype = layer.compute_dtype
    x = tf.constant(rng.normal(size=(n, steps, width)), dtype)
    return x, [tf.constant(rng.normal(size=(n, size)), dtype) for size in sizes]


def differentiated(layer, x, states=(), mask=None, training=False):
    """All that a call returns, and the slopes of a sum of it in x, the states and the weights; no term cancels."""
    states = list(states)
    with tf.GradientTape() as tape:
        tape.watch([x, *states])
        results = tf.nest.flatten(layer(x, initial_state=states or None, mask=mask, training=training))
        loss = tf.add_n([tf.cast(tf.reduce_sum(_factors(result) * result), "float64") for result in results])
    return results, tape.gradient(loss, [x, *states, *[w.value for w in layer.trainable_weights]])


def _factors(result):
    angles = tf.cast(tf.range(1, tf.size(result) + 1), "float64")
    few_bits = tf.round(64 * tf.cos(angles)) / 64  # the same number in every type
    return tf.cast(tf.reshape(few_bits, tf.shape(result)), result.dtype)


def assert_near(got, wanted, tolerance=1e-5):
    """Equal structures, and in each tensor no difference larger than `tolerance` times its largest entry."""
    got, wanted = tf.nest.flatten(got), tf.nest.flatten(wanted)
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype == other.dtype
        one, other = np.asarray(one, "float64"), np.asarray(other, "float64")
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max(initial=0))


# === Every cell, mask and order ===


def check(rng, each_way, cell, mask, how, ways=BOTH, training=False, n=None, tolerance=1e-5):
    """All results and slopes of ours are those of Keras' layer."""
    ours, stock = pair(rng, cell, return_state=True, **how)
    x, states = inputs(rng, ours, *((n, T) if mask is None else mask.shape))
    wanted = differentiated(stock, x, states, mask)
    for got in each_way(lambda: differentiated(ours, x, states, mask, training), ways):
        assert_near(got, wanted, tolerance)


@cells
def test_values_and_gradients_with_masks(rng, each_way, cell):
    for how in PAIRS:
        # Training keeps what the way back needs; else the way forward is run again.
        check(rng, each_way, cell, MANY, how, training=how["go_backwards"] != how["return_sequences"])


@pytest.mark.parametrize("mask", [None, FEW], ids=["no mask", "mask"])
@cells
def test_values_and_gradients_of_few_rows(rng, each_way, cell, mask):
    ways = BOTH if mask is None and cell == "gru" else PLAIN
    check(rng, each_way, cell, mask, {"return_sequences": True, "go_backwards": True}, ways, True, len(FEW))


ALL_MASKS = {"few rows": FEW, "many rows": MANY, "T rounded up": np.tile(MANY, 3)[:, :9]}


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
def test_all_of_it(rng, each_way, monkeypatch, cell, mask, training):
    for how in HOW:
        check(rng, each_way, cell, mask, how, ["xla", "padded", "plain"], training)
    monkeypatch.setattr(plan, "CHUNK", 9)
    check(rng, each_way, cell, np.tile(mask, 9)[:, :18], how, ["xla", "padded", "plain"], training)


@cells
def test_no_state_given_or_returned_and_no_valid_step(rng, each_way, cell):
    ours, stock = pair(rng, cell)
    x, _ = inputs(rng, ours)
    wanted = differentiated(stock, x, (), np.zeros_like(MANY))
    for got in each_way(lambda: differentiated(ours, x, (), np.zeros_like(MANY))):
        assert_near(got, wanted)


@cells
def test_numpy(rng, each_way, cell):
    ours, _ = pair(rng, cell, dtype="float64", return_sequences=True, return_state=True)
    x, states = inputs(rng, ours)
    outputs, final = oracles.recurrence(x, cell, ours.get_weights(), H, [s.numpy() for s in states], MANY)
    (got,) = each_way(lambda: ours(x, initial_state=states, mask=MANY), PLAIN)
    assert_near(got, [outputs, *final], 1e-12)


# === Options ===


@cells
def test_without_a_bias(rng, each_way, cell):
    check(rng, each_way, cell, MANY, {"use_bias": False}, PLAIN)


@cells
def test_double_precision(rng, each_way, cell):
    check(rng, each_way, cell, MANY, {"dtype": "float64", "return_sequences": True}, PLAIN, tolerance=1e-11)


@cells
def test_time_in_chunks(rng, each_way, monkeypatch, cell):
    monkeypatch.setattr(plan, "CHUNK", 3)
    check(rng, each_way, cell, MANY, {"return_sequences": True, "go_backwards": True}, PLAIN, training=True)
    check(rng, each_way, cell, None, {}, PLAIN, n=len(MANY))


@pytest.mark.parametrize("activation", SUPPORTED_ACTIVATIONS)
@pytest.mark.parametrize("cell", ["lstm", pytest.param("gru", marks=pytest.mark.slow)])
def test_every_supported_activation(rng, each_way, cell, activation):
    for choice in [(activation, "hard_sigmoid"), ("softsign", activation)]:
        check_activations(rng, each_way, cell, *choice)


@cells
def test_activations_of_every_cell(rng, each_way, cell):
    check_activations(rng, each_way, cell, keras.ops.tanh, "elu")


def check_activations(rng, each_way, cell, activation, gates):
    how = {"dtype": "float64", "activation": activation, **({} if cell == "rnn" else {"recurrent_activation": gates})}
    check(rng, each_way, cell, np.ones((4, 2), bool), how, PLAIN, tolerance=1e-11)


@pytest.mark.parametrize("activation", SUPPORTED_ACTIVATIONS)
def test_slopes_far_from_zero(each_way, activation):
    """Each by itself, where a slope of almost 0 or 1 can be lost to rounding."""
    x = tf.constant([[[z]] for z in (-12.0, -5.0, -0.1, 0.1, 5.0)])
    slopes = []
    for layers in (deeprnn_keras, keras.layers):
        layer = layers.SimpleRNN(1, activation=activation, kernel_initializer="ones")
        slopes.append(differentiated(layer, x)[1][0] / _factors(x))
    np.testing.assert_allclose(*slopes, rtol=1e-5)


@pytest.mark.parametrize(("n", "steps", "width", "units"), [(2, 1, 3, 2), (1, 1, 1, 1), (1, 2, 1, 1)])
@cells
def test_smallest_sizes(rng, each_way, cell, n, steps, width, units):
    ours, stock = pair(rng, cell, units, width, return_sequences=True, return_state=True)
    x, states = inputs(rng, ours, n, steps, width)
    for mask in (None, np.eye(n, steps, dtype=bool)):
        ways = ["one step"] if steps == 1 else BOTH if cell == "rnn" and mask is None else PLAIN
        wanted = differentiated(stock, x, states, mask)
        for got in each_way(lambda: differentiated(ours, x, states, mask, True), ways):  # noqa: B023
            assert_near(got, wanted)


@cells
def test_half_precision_only_rounds_the_float32_results(rng, each_way, cell):
    policy = {"gru": "float16", "gru_reset_before": "mixed_bfloat16"}.get(cell, "mixed_float16")
    half, how = policy.removeprefix("mixed_"), {"return_sequences": True, "return_state": True}
    ours, stock = pair(rng, cell, dtype=policy, **how)
    _, exact = pair(rng, cell, **how)
    exact.set_weights(stock.get_weights())
    given = inputs(rng, ours)
    wanted = differentiated(exact, *tf.nest.map_structure(lambda t: tf.cast(t, "float32"), given), MANY)
    (got,) = each_way(lambda: differentiated(ours, *given, MANY), PLAIN)
    results, distances = (got, differentiated(stock, *given, MANY), wanted), []
    for one, other, exactly in zip(*map(tf.nest.flatten, results), strict=True):
        assert one.dtype == other.dtype
        near = 1e-5 if one.dtype == "float32" else {"float16": 2**-11, "bfloat16": 2**-8}[half]  # rounded once
        one, other = (np.asarray(tf.cast(t, "float32")) for t in (one, other))
        largest = np.abs(exactly).max()
        np.testing.assert_allclose(one, exactly, rtol=1.01 * near, atol=1e-5 * largest)
        distances.append([np.linalg.norm(result - exactly) / largest for result in (one, other)])
    assert np.less(*np.sum(distances, axis=0))


# === In a row, in two directions and in graphs ===


@cells
def test_stateful(rng, each_way, cell):
    ours, stock = pair(rng, cell, n=len(MANY), stateful=True, return_sequences=True)
    batches = [inputs(rng, ours) for _ in range(3)]

    def in_a_row(layer):
        layer.reset_state()
        results = [layer(x, mask=MANY) for x, _ in batches]
        results.append(differentiated(layer, *batches[0], MANY))  # states given win over those kept
        results += [tf.identity(state.value) for state in layer.states]
        layer.reset_state()
        return [*results, layer(batches[0][0])]

    (got,) = each_way(lambda: in_a_row(ours), PLAIN)
    assert_near(got, in_a_row(stock))


@cells
def test_bidirectional(rng, each_way, cell):
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
    for got in each_way(lambda: differentiated(ours, x, states, MANY), BOTH if cell == "rnn" else PLAIN):
        assert_near(got, differentiated(stock, x, states, MANY))


GRAPHS = [("lstm", None), ("rnn", T)]
ALL_GRAPHS = [pytest.param(*graph, marks=pytest.mark.slow) for graph in itertools.product(CELLS, (None, T))]


@pytest.mark.parametrize(("cell", "steps"), [*GRAPHS, *ALL_GRAPHS])
def test_in_a_graph_with_unknown_sizes(rng, each_way, cell, steps):
    """With a mask, and without one where T is rounded up: no mask hides then what lies behind the end."""
    ours, stock = pair(rng, cell, go_backwards=True, return_sequences=True, return_state=True)
    signature = [tf.TensorSpec((None, steps, D)), [tf.TensorSpec((None, H))] * len(inputs(rng, ours)[1])]
    signature += [tf.TensorSpec((None, steps), "bool")] if steps else []
    run = tf.function(lambda x, states, *mask: differentiated(ours, x, states, *mask, training=True))
    (run,) = each_way(lambda: run.get_concrete_function(*signature), ["xla" if steps else "padded"])
    for n in (9, 1):
        x, states = inputs(rng, ours, n, steps or n)
        mask = [MANY[:n]] if steps else []
        assert_near(run(x, states, *mask), differentiated(stock, x, states, *mask))
