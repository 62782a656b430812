"""`DeepRNN` on XLA and in native code against Keras' loop and NumPy; memory, dropout, invalid arguments."""

import gc
import itertools
import weakref
from types import SimpleNamespace

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from fast_implementations import FASTEST, NATIVE_MISSING
from oracles import assert_close
from without_xla import uncompiled

from deeprnn_keras import DeepRNN
from deeprnn_keras.kernels.xla import plan, stack
from deeprnn_keras.kernels.xla.sequence import shared_passes

CONNECTIONS = ("stack", "residual", "skip")
N, T, D = 3, 4, 2
MASKS = {
    "no mask": None,
    "right": [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]],
    "left": [[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]],
    "any": [[0, 1, 0, 1], [1, 0, 1, 0], [1, 0, 0, 1]],
    "empty row": [[0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]],
}
CASES = list(itertools.product(CONNECTIONS, (False, True), MASKS))
# every second case is slow; as there are 5 masks, the others have each mask, connection, and direction
DEFAULT_AND_SLOW_CASES = [
    pytest.param(*case, marks=pytest.mark.slow if number % 2 else ()) for number, case in enumerate(CASES)
]


def without_remat(options):
    return {name: value for name, value in options.items() if name != "remat"}


def native_layer(weights, units, n=None, d=D, **options):
    """Return a layer in native code, in float32, with the weights."""
    layer = DeepRNN(units, implementation="native", **options)
    layer.build((n, None, d))
    layer.set_weights(weights)
    return layer


def build_pair(rng, units, d=D, n=None, **options):
    """Build a layer on XLA and one in Keras' loop, with the same random weights, in float64."""
    layers = [DeepRNN(units, implementation="xla", dtype="float64", **options)]
    layers.append(DeepRNN(units, implementation="loop", dtype="float64", **without_remat(options)))
    for layer in layers:
        layer.build((n, None, d))
    weights = [rng.normal(size=w.shape, scale=0.6) for w in layers[0].get_weights()]
    for layer in layers:
        layer.set_weights(weights)
    return *layers, weights


def mask_array(name):
    return None if MASKS[name] is None else np.array(MASKS[name], bool)


def random_state(rng, layer, n):
    return keras.tree.map_structure(lambda zeros: tf.constant(rng.normal(size=zeros.shape)), layer.get_initial_state(n))


def with_gradients(layer, x, state=None, mask=None, training=True):
    """Return the result, and the gradients of a weighted sum of all its numbers, with a different weight for each."""
    with tf.GradientTape() as tape:
        tape.watch([x, *tf.nest.flatten(state)] if state is not None else [x])
        result = layer(x, initial_state=state, mask=mask, training=training)
        numbers = tf.concat([tf.reshape(tf.cast(y, "float64"), [-1]) for y in tf.nest.flatten(result)], 0)
        loss = tf.reduce_sum(numbers * tf.sin(1.0 + tf.cast(tf.range(tf.size(numbers)), "float64")))
    sources = [x, [] if state is None else state, [w.value for w in layer.trainable_weights]]
    return result, tape.gradient(loss, sources, unconnected_gradients="zero")


def assert_equal(actual, expected, tolerance=1e-11):
    for one, other in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
        assert_close(one, np.asarray(other), tolerance)


# === Values and gradients ===


@pytest.mark.parametrize(("connection", "bidirectional", "mask"), DEFAULT_AND_SLOW_CASES)
def test_layer_equals_loop_and_numpy_reference(rng, monkeypatch, connection, bidirectional, mask):
    """Combine each mask and each connection with both values of every option.

    One case without and one with a mask are compiled: the compiled code does not depend on the values of a mask.
    """
    number = CASES.index((connection, bidirectional, mask))
    if (connection, bidirectional, mask) not in (("stack", False, "no mask"), ("residual", True, "any")):
        monkeypatch.setattr(stack, "make_plan", lambda *arguments: uncompiled(plan.make_plan(*arguments)))
    return_sequences, go_backwards, has_state = [(number + number // 10 + k) // 2**k % 2 == 1 for k in range(3)]
    options = {"connection": connection, "bidirectional": bidirectional, "go_backwards": go_backwards}
    cells, units = ["lstm", "gru"], [3, 3]
    layer, loop, weights = build_pair(
        rng, units, cell=cells, return_state=True, return_sequences=return_sequences, **options
    )
    x, mask = tf.constant(rng.normal(size=(N, T, D))), mask_array(mask)
    state = random_state(rng, layer, N) if has_state else None
    actual, of_loop = with_gradients(layer, x, state, mask), with_gradients(loop, x, state, mask)
    assert_equal(actual, of_loop)
    if not NATIVE_MISSING:
        native = native_layer(
            weights, units, cell=cells, return_state=True, return_sequences=return_sequences,
            remat=number % 3 == 0, **options,
        )  # fmt: skip
        x32 = tf.cast(x, "float32")
        state32 = state and keras.tree.map_structure(lambda part: tf.cast(part, "float32"), state)
        assert_equal(with_gradients(native, x32, state32, mask), of_loop, 1e-5)
    expected = oracles.deep_rnn(x, weights, cells, units, initial_state=state, mask=mask, **options)
    assert_equal(actual[0], [expected.outputs if return_sequences else expected.last, *expected.states])


@pytest.mark.slow
@pytest.mark.parametrize(("connection", "training"), [("residual", True), ("skip", False)])
def test_cells_units_and_activations_per_layer_equal_loop(rng, connection, training):
    cells, activations = ["gru", "rnn", "lstm"], ["relu", None, "sigmoid"]
    units = [3] * 3 if connection == "residual" else [3, 1, 2]
    options = {"cell": cells, "connection": connection}
    layer, loop, weights = build_pair(rng, units, activation=activations, return_sequences=True, **options)
    x = tf.constant(rng.normal(size=(N, T, D)))
    actual = with_gradients(layer, x, training=training)
    assert_equal(actual, with_gradients(loop, x, training=training))
    assert_equal(actual[0], oracles.deep_rnn(x, weights, cells, units, connection, activations=activations).outputs)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(("n", "steps", "h", "num_layers"), [(1, 1, 1, 1), (1, 3, 2, 1), (3, 1, 2, 2), (2, 2, 1, 2)])
def test_smallest_sizes_equal_loop(rng, monkeypatch, n, steps, h, num_layers, cell):
    monkeypatch.setattr(stack, "make_plan", lambda *arguments: uncompiled(plan.make_plan(*arguments)))
    layer, loop, _ = build_pair(rng, h, num_layers=num_layers, cell=cell, d=1, return_sequences=True, return_state=True)
    x, state = tf.constant(rng.normal(size=(n, steps, 1))), random_state(rng, layer, n)
    assert_equal(with_gradients(layer, x, state), with_gradients(loop, x, state))


UNKNOWN_SIZES = [
    pytest.param(None, False, True, True, marks=pytest.mark.slow),
    pytest.param(None, True, True, False, marks=pytest.mark.slow),
    (3, False, False, False),
    pytest.param(3, True, True, True, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("n", "remat", "bidirectional", "masked"), UNKNOWN_SIZES)
def test_unknown_sizes_equal_loop(rng, monkeypatch, n, remat, bidirectional, masked):
    """The first length is rounded up; the second is, with remat, below the number of chunks for an unknown T."""
    monkeypatch.setattr(plan, "REMAT_CHUNKS", 4)
    width = 4 if bidirectional else 2  # both layers have inputs of the same width, so that XLA compiles once for both
    options = {"num_layers": 2, "bidirectional": bidirectional}
    layer, loop, weights = build_pair(rng, 2, width, remat=remat, **options)
    layers = [layer, loop]
    if not NATIVE_MISSING:
        layers.append(native_layer(weights, 2, d=width, remat=remat, **options))
    specs = [tf.TensorSpec((n, None, width), "float64"), tf.TensorSpec((n, None), "bool")]

    @tf.function(input_signature=specs, autograph=False)
    def run(x, mask):
        return [with_gradients(each, tf.cast(x, each.compute_dtype), mask=mask if masked else None) for each in layers]

    for rows, steps in ((n or 1, 37 if remat else 9), (n or 2, 3)):
        mask = rng.random((rows, steps)) < 0.7
        on_xla, of_loop, *native = run(tf.constant(rng.normal(size=(rows, steps, width))), tf.constant(mask))
        assert_equal(on_xla, of_loop)
        for actual in native:
            assert_equal(actual, of_loop, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("remat", [False, True])
def test_chunks_of_time_equal_loop(rng, remat):
    steps = (plan.REMAT_CHUNK_STEPS if remat else plan.CHUNK_STEPS) + 7  # odd, so that chunks have two lengths
    layer, loop, _ = build_pair(rng, 2, d=4, num_layers=2, remat=remat, bidirectional=True, return_sequences=True)
    x, mask = tf.constant(rng.normal(size=(2, steps, 4))), rng.random((2, steps)) < 0.9
    assert_equal(with_gradients(layer, x, mask=mask), tf.function(with_gradients)(loop, x, mask=mask), 1e-10)


def test_stateful_layer_carries_states_between_batches(rng):
    options = {"n": N, "stateful": True, "cell": ["lstm", "gru"]}
    layer, loop, weights = build_pair(rng, [3, 3], **options)
    layers = [(layer, 1e-11)] + [(native_layer(weights, [3, 3], **options), 1e-5)] * (not NATIVE_MISSING)
    for mask in map(mask_array, ("no mask", "any", "empty row")):
        x = tf.constant(rng.normal(size=(N, T, D)))
        expected = with_gradients(loop, x, mask=mask)
        states = loop.carried_state.to_arrays()
        for each, tolerance in layers:
            assert_equal(with_gradients(each, tf.cast(x, each.compute_dtype), mask=mask), expected, tolerance)
            assert_equal(each.carried_state.to_arrays(), states, tolerance)
        assert all(np.any(state) for state in states[-3:]), "a training state is 0: h or c of the LSTM, or h of the GRU"


# === Memory ===


def recorded_passes(monkeypatch, layer, x):
    """Compute a gradient; return, for each pass in order, its name and the bytes then held for the backward pass."""
    records, stored = [], []

    def recording_passes(recurrence, compiled):
        passes = {k: v for k, v in vars(shared_passes(recurrence, compiled)).items() if k != "compiled"}
        return SimpleNamespace(**{name: recorded(run, name) for name, run in passes.items()})

    def recorded(run, name):
        def call(*inputs):
            gc.collect()
            alive = [ref() for ref in stored]
            records.append((name, sum(tensor.numpy().nbytes for tensor in alive if tensor is not None)))
            result = run(*inputs)
            if name == "forward_storing":
                stored.extend(weakref.ref(tensor) for tensor in tf.nest.flatten(result[1:]))
            return result

        return call

    gc.freeze()  # objects that exist already need not be scanned
    with monkeypatch.context() as patch:
        patch.setattr(stack, "shared_passes", recording_passes)
        with_gradients(layer, x)
    gc.unfreeze()
    return [(name, size) for name, size in records if name != "input_gradient"]


def test_remat_stores_one_chunk_at_a_time(rng, monkeypatch):
    monkeypatch.setattr(plan, "REMAT_CHUNK_STEPS", 2)
    n, steps, h, num_layers, num_stored = 2, 6, 2, 2, 6  # an LSTM stores h, c, and four gates
    x = tf.constant(rng.normal(size=(n, steps, h)))
    passes = {}
    for remat in (False, True):
        layer, _, _ = build_pair(rng, h, num_layers=num_layers, remat=remat)
        passes[remat] = recorded_passes(monkeypatch, layer, x)
    chunks = 3 * num_layers
    assert [name for name, _ in passes[True]] == ["forward"] * chunks + ["forward_storing", "backward"] * chunks
    assert {size for name, size in passes[True] if name == "backward"} == {n * 2 * h * num_stored * 8}
    names = [name for name, _ in passes[False]]
    assert set(names[: len(names) // 2]) == {"forward_storing"} and set(names[len(names) // 2 :]) == {"backward"}
    assert passes[False][len(names) // 2][1] == num_layers * n * steps * h * num_stored * 8


# === Dropout ===


def dropout_mask_layer(rate, num_layers=2, h=16, **options):
    """Build a stack whose output is the product of its dropout masks."""
    layer = DeepRNN(h, num_layers, "rnn", "linear", dropout=rate, return_sequences=True, **options)
    layer.build((None, None, 1))
    zeros = np.zeros((h, h))
    layer.set_weights([zeros[:1], zeros, np.ones(h), *[np.eye(h), zeros, zeros[0]] * (num_layers - 1)])
    return layer


@pytest.mark.parametrize(("remat", "rate", "num_layers", "known"), [(False, 0.5, 3, False), (True, 0.2, 2, True)])
def test_dropout_masks_have_the_rate_and_differ(rng, monkeypatch, remat, rate, num_layers, known):
    monkeypatch.setattr(plan, "REMAT_CHUNK_STEPS", 8)
    layer = dropout_mask_layer(rate, num_layers, h=96, remat=remat)
    x = tf.zeros((6, 16, 1))

    @tf.function(input_signature=[tf.TensorSpec((None, 16 if known else None, 1))], autograph=False)
    def run(x):
        return layer(x, training=True), layer(x)

    (masks, plain), (again, _) = run(x), run(x)
    assert not np.array_equal(masks, again)
    np.testing.assert_array_equal(plain, np.ones((6, 16, 96)))
    share = (1 - rate) ** (num_layers - 1)
    assert_close(np.unique(masks), np.array([0, 1 / share]))
    assert abs(np.mean(masks > 0) - share) < 5 * np.sqrt(share * (1 - share) / tf.size(masks).numpy())
    # no two (example, step) pairs have the same mask: with 96 units, the probability is below 1e-12
    assert len(np.unique(np.reshape(masks, (-1, 96)), axis=0)) == 6 * 16
    for axis in (0, 1):  # no two examples, no two steps have the same masks
        assert np.unique(masks, axis=axis).shape == masks.shape


def test_equal_seeds_draw_equal_dropout_masks(rng):
    x, y = rng.normal(size=(2, T, D)), rng.normal(size=(2, 1))

    def losses(layer_seed, global_seed):
        keras.utils.set_random_seed(3)  # equal weights
        layer = DeepRNN(2, 2, dropout=0.5, seed=layer_seed)
        model = keras.Sequential([keras.Input((T, D)), layer, keras.layers.Dense(1)])
        keras.utils.set_random_seed(global_seed)
        model.compile("sgd", "mse", run_eagerly=True)
        return [model.train_on_batch(x, y) for _ in range(3)]

    first = losses(5, 1)
    assert_close(losses(5, 2), first, 1e-6)
    assert np.max(np.abs(np.subtract(losses(6, 2), first))) > 1e-3


def test_gradient_uses_the_masks_of_the_forward_pass(rng, monkeypatch):
    """The backward pass, which recomputes the forward pass with remat, draws the same masks."""
    monkeypatch.setattr(plan, "REMAT_CHUNK_STEPS", 2)
    layer, _, _ = build_pair(rng, 2, num_layers=3, dropout=0.5, remat=True)
    seeds = [dropout.seed_generator.state for dropout in layer.dropouts]
    start = [seed.numpy() for seed in seeds]

    def loss(x):
        for seed, value in zip(seeds, start, strict=True):
            seed.assign(value)
        return tf.reduce_sum(layer(x, training=True) ** 2)

    x, direction = tf.constant(rng.normal(size=(N, T, D))), rng.normal(size=(N, T, D))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x)
    slope = (loss(x + 1e-5 * direction) - loss(x - 1e-5 * direction)) / 2e-5
    assert_close(np.sum(tape.gradient(value, x) * direction), slope.numpy(), 1e-8)
    assert loss(x) == value and tf.reduce_sum(layer(x, training=True) ** 2) != value


# === Invalid arguments ===


class CustomCell:
    def __init__(self, units):
        self.state_size, self.call = units, None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"implementation": "xlaa"}, "unknown implementation 'xlaa'; did you mean 'xla'"),
        (
            {"implementation": True},
            "unknown implementation True; choose from 'auto', 'cudnn', 'linear_scan', 'loop', 'native', 'scan', 'xla'",
        ),
        (
            {"implementation": "cudnn", "cell": "rnn"},
            "implementation='cudnn' is not supported for this layer: Keras has no cuDNN path for a plain RNN",
        ),
        (
            {"implementation": "cudnn", "activation": "relu"},
            "implementation='cudnn' is not supported for this layer: activation='relu': cuDNN supports tanh only",
        ),
        (
            {"implementation": "xla", "cell": ["gru", CustomCell]},
            "implementation='xla' is not supported for this layer: XLA supports .*, not CustomCell",
        ),
        (
            {"implementation": "xla", "activation": "silu"},
            "implementation='xla' is not supported for this layer: activation='silu': XLA supports .* elu, .*tanh",
        ),
        (
            {"implementation": "xla", "activation": [None, tf.sin]},
            "implementation='xla' is not supported for this layer: activation is a user-defined function",
        ),
    ],
)
def test_unsupported_arguments_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        DeepRNN(2, 2, **arguments)


def test_auto_selects_per_layer_if_none_supports_all(rng):
    """The fastest implementation runs the layers that it supports, the loop runs the others."""
    layer, loop = (DeepRNN(2, 2, "gru", ["silu", None], implementation=name) for name in ("auto", "loop"))
    x = rng.normal(size=(N, T, D)).astype("float32")
    assert layer(x).shape == loop(x).shape
    loop.set_weights(layer.get_weights())
    assert [part.selected_implementation() for part in layer.recurrent_layers] == ["loop", FASTEST]
    assert_close(layer(x), loop(x).numpy(), 1e-6)
