"""`DeepRNN` on XLA against Keras' loop and the NumPy oracle; memory, dropout, bad values."""

import gc
import itertools
import weakref
from types import SimpleNamespace

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from oracles import assert_close
from without_xla import uncompiled

from deeprnn_keras import DeepRNN
from deeprnn_keras.kernels.xla import plan, stack
from deeprnn_keras.kernels.xla.sequence import shared_passes

CONNECTIONS = ("stack", "residual", "skip")
KERNELS = {"auto": "xla", "loop": "loop"}  # asked for, and what then runs on a CPU
N, T, D = 3, 4, 2
MASKS = {
    "no mask": None,
    "right": [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]],
    "left": [[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]],
    "any": [[0, 1, 0, 1], [1, 0, 1, 0], [1, 0, 0, 1]],
    "empty row": [[0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]],
}
CASES = list(itertools.product(CONNECTIONS, (False, True), MASKS))


def twins(rng, units, d=D, n=None, **how):
    """The layer on XLA and in Keras' loop, with the same random weights, in double precision."""
    layers = [DeepRNN(units, implementation=kernel, **{"dtype": "float64", **how}) for kernel in KERNELS]
    for layer in layers:
        layer.build((n, None, d))
        assert {part.selected_implementation() for part in layer.recurrent_layers} == {KERNELS[layer.implementation]}
    weights = [rng.normal(size=w.shape, scale=0.6) for w in layers[0].get_weights()]
    for layer in layers:
        layer.set_weights(weights)
    return *layers, weights


def mask_of(name):
    return None if MASKS[name] is None else np.array(MASKS[name], bool)


def random_state(rng, layer, n):
    return keras.tree.map_structure(lambda zeros: tf.constant(rng.normal(size=zeros.shape)), layer.get_initial_state(n))


def with_gradients(layer, x, state=None, mask=None, training=True):
    """What the layer gives, and the gradients of its sum, each number counted with a factor of its own."""
    with tf.GradientTape() as tape:
        tape.watch([x, *tf.nest.flatten(state)] if state is not None else [x])
        result = layer(x, initial_state=state, mask=mask, training=training)
        numbers = tf.concat([tf.reshape(tf.cast(y, "float64"), [-1]) for y in tf.nest.flatten(result)], 0)
        loss = tf.reduce_sum(numbers * tf.sin(1.0 + tf.cast(tf.range(tf.size(numbers)), "float64")))
    sources = [x, [] if state is None else state, [w.value for w in layer.trainable_weights]]
    return result, tape.gradient(loss, sources, unconnected_gradients="zero")


def assert_equal(got, wanted, tolerance=1e-11):
    for one, other in zip(tf.nest.flatten(got), tf.nest.flatten(wanted), strict=True):
        assert_close(one, np.asarray(other), tolerance)


# === Values and gradients ===


@pytest.mark.parametrize(("connection", "bidirectional", "mask"), CASES)
def test_against_the_loop_and_the_oracle(rng, monkeypatch, connection, bidirectional, mask):
    """Each mask meets each of the other arguments, over the connections; each fifth case is compiled."""
    number = CASES.index((connection, bidirectional, mask))
    if number % 5:
        monkeypatch.setattr(stack, "make_plan", lambda *arguments: uncompiled(plan.make_plan(*arguments)))
    return_sequences, go_backwards, start = [(number + number // 10 + k) // 2**k % 2 == 1 for k in range(3)]
    how = {"connection": connection, "bidirectional": bidirectional, "go_backwards": go_backwards}
    cells, units = ["lstm", "gru"], [3, 3]
    layer, loop, weights = twins(rng, units, cell=cells, return_state=True, return_sequences=return_sequences, **how)
    x, mask = tf.constant(rng.normal(size=(N, T, D))), mask_of(mask)
    state = random_state(rng, layer, N) if start else None
    got = with_gradients(layer, x, state, mask)
    assert_equal(got, with_gradients(loop, x, state, mask))
    wanted = oracles.deep_rnn(x, weights, cells, units, initial_state=state, mask=mask, **how)
    assert_equal(got[0], [wanted.outputs if return_sequences else wanted.last, *wanted.states])


@pytest.mark.parametrize(("connection", "training"), [("residual", True), ("skip", False)])
def test_cells_units_and_activations_per_layer(rng, connection, training):
    cells, activations = ["gru", "rnn", "lstm"], ["relu", None, "sigmoid"]
    units = [3] * 3 if connection == "residual" else [3, 1, 2]
    how = {"cell": cells, "connection": connection}
    layer, loop, weights = twins(rng, units, activation=activations, return_sequences=True, **how)
    x = tf.constant(rng.normal(size=(N, T, D)))
    got = with_gradients(layer, x, training=training)
    assert_equal(got, with_gradients(loop, x, training=training))
    assert_equal(got[0], oracles.deep_rnn(x, weights, cells, units, connection, activations=activations).outputs)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(("n", "steps", "h", "num_layers"), [(1, 1, 1, 1), (1, 3, 2, 1), (3, 1, 2, 2), (2, 2, 1, 2)])
def test_smallest_sizes(rng, monkeypatch, n, steps, h, num_layers, cell):
    monkeypatch.setattr(stack, "make_plan", lambda *arguments: uncompiled(plan.make_plan(*arguments)))
    layer, loop, _ = twins(rng, h, num_layers=num_layers, cell=cell, d=1, return_sequences=True, return_state=True)
    x, state = tf.constant(rng.normal(size=(n, steps, 1))), random_state(rng, layer, n)
    assert_equal(with_gradients(layer, x, state), with_gradients(loop, x, state))


UNKNOWN = [
    pytest.param(None, "speed", True, True, marks=pytest.mark.slow),
    pytest.param(None, "lean", True, False, marks=pytest.mark.slow),
    (3, "speed", False, False),
    pytest.param(3, "lean", True, True, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("n", "memory", "bidirectional", "masked"), UNKNOWN)
def test_unknown_sizes(rng, monkeypatch, n, memory, bidirectional, masked):
    """One length is rounded up, the other is below the number of chunks that an unknown time is cut into."""
    monkeypatch.setattr(plan, "REMAT_CHUNKS", 4)
    width = 4 if bidirectional else 2  # both layers read alike: XLA compiles once for both
    layer, loop, _ = twins(rng, 2, width, num_layers=2, remat=memory == "lean", bidirectional=bidirectional)
    specs = [tf.TensorSpec((n, None, width), "float64"), tf.TensorSpec((n, None), "bool")]

    @tf.function(input_signature=specs, autograph=False)
    def both(x, mask):
        return [with_gradients(one, x, mask=mask if masked else None) for one in (layer, loop)]

    for rows, steps in ((n or 1, 9 if memory == "speed" else 37), (n or 2, 3)):
        mask = rng.random((rows, steps)) < 0.7
        assert_equal(*both(tf.constant(rng.normal(size=(rows, steps, width))), tf.constant(mask)))


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["speed", "lean"])
def test_time_in_chunks(rng, memory):
    steps = (plan.REMAT_CHUNK if memory == "lean" else plan.CHUNK) + 7  # an odd number: chunks of two lengths
    layer, loop, _ = twins(rng, 2, d=4, num_layers=2, remat=memory == "lean", bidirectional=True, return_sequences=True)
    x, mask = tf.constant(rng.normal(size=(2, steps, 4))), rng.random((2, steps)) < 0.9
    assert_equal(with_gradients(layer, x, mask=mask), tf.function(with_gradients)(loop, x, mask=mask), 1e-10)


def test_stateful_batches_go_on_where_the_last_stopped(rng):
    layer, loop, _ = twins(rng, [3, 3], n=N, stateful=True, cell=["lstm", "gru"])
    for mask in map(mask_of, ("no mask", "any", "empty row")):
        x = tf.constant(rng.normal(size=(N, T, D)))
        assert_equal(with_gradients(layer, x, mask=mask), with_gradients(loop, x, mask=mask))
        states = [one.carried_state.to_arrays() for one in (layer, loop)]
        assert_equal(*states)
        assert all(np.any(state) for state in states[0][-3:]), "h, c and h, of training"


# === memory ===


def passes_run(monkeypatch, layer, x):
    """What a loss and its gradient run, in order: (name, bytes kept for the way back that are alive then)."""
    done, kept = [], []

    def recorded(recurrence, compiled):
        return SimpleNamespace(
            **{
                name: watched(run, name)
                for name, run in vars(shared_passes(recurrence, compiled)).items()
                if name != "compiled"
            }
        )

    def watched(run, name):
        def call(*inputs):
            gc.collect()
            alive = [ref() for ref in kept]
            done.append((name, sum(tensor.numpy().nbytes for tensor in alive if tensor is not None)))
            result = run(*inputs)
            if name == "forward_storing":
                kept.extend(weakref.ref(tensor) for tensor in tf.nest.flatten(result[1:]))
            return result

        return call

    gc.freeze()  # what is there already need not be looked at
    with monkeypatch.context() as patch:
        patch.setattr(stack, "shared_passes", recorded)
        with_gradients(layer, x)
    gc.unfreeze()
    return [(name, size) for name, size in done if name != "input_gradient"]


def test_lean_memory_keeps_one_chunk_at_a_time(rng, monkeypatch):
    monkeypatch.setattr(plan, "REMAT_CHUNK", 2)
    n, steps, h, num_layers, numbers = 2, 6, 2, 2, 6  # an LSTM keeps h, c and four gates
    x = tf.constant(rng.normal(size=(n, steps, h)))
    order = {}
    for memory in ("speed", "lean"):
        layer, _, _ = twins(rng, h, num_layers=num_layers, remat=memory == "lean")
        order[memory] = passes_run(monkeypatch, layer, x)
    chunks = 3 * num_layers
    assert [name for name, _ in order["lean"]] == ["forward"] * chunks + ["forward_storing", "backward"] * chunks
    assert {size for name, size in order["lean"] if name == "backward"} == {n * 2 * h * numbers * 8}
    names = [name for name, _ in order["speed"]]
    assert set(names[: len(names) // 2]) == {"forward_storing"} and set(names[len(names) // 2 :]) == {"backward"}
    assert order["speed"][len(names) // 2][1] == num_layers * n * steps * h * numbers * 8


# === Dropout ===


def mask_layer(rate, num_layers=2, h=16, **how):
    """A stack whose output is the product of its dropout masks."""
    layer = DeepRNN(h, num_layers, "rnn", "linear", dropout=rate, return_sequences=True, **how)
    layer.build((None, None, 1))
    zeros = np.zeros((h, h))
    layer.set_weights([zeros[:1], zeros, np.ones(h), *[np.eye(h), zeros, zeros[0]] * (num_layers - 1)])
    return layer


@pytest.mark.parametrize(("memory", "rate", "num_layers", "known"), [("speed", 0.5, 3, False), ("lean", 0.2, 2, True)])
def test_masks_have_the_rate_and_are_all_different(rng, monkeypatch, memory, rate, num_layers, known):
    monkeypatch.setattr(plan, "REMAT_CHUNK", 8)
    layer = mask_layer(rate, num_layers, remat=memory == "lean")
    x = tf.zeros((6, 16, 1))

    @tf.function(input_signature=[tf.TensorSpec((None, 16 if known else None, 1))], autograph=False)
    def run(x):
        return layer(x, training=True), layer(x)

    (masks, plain), (again, _) = run(x), run(x)
    assert not np.array_equal(masks, again)
    np.testing.assert_array_equal(plain, np.ones((6, 16, 16)))
    share = (1 - rate) ** (num_layers - 1)
    assert_close(np.unique(masks), np.array([0, 1 / share]))
    assert abs(np.mean(masks > 0) - share) < 5 * np.sqrt(share * (1 - share) / tf.size(masks).numpy())
    assert len(np.unique(np.reshape(masks, (-1, 16)), axis=0)) > 0.95 * 6 * 16  # over examples and steps
    for axis in (0, 1):  # no two examples, no two steps have the same masks
        assert np.unique(masks, axis=axis).shape == masks.shape


def test_equal_seeds_drop_alike_through_updates(rng):
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


def test_the_gradient_is_that_of_the_masks_drawn(rng, monkeypatch):
    """Also where the way back computes anew."""
    monkeypatch.setattr(plan, "REMAT_CHUNK", 2)
    layer, _, _ = twins(rng, 2, num_layers=3, dropout=0.5, remat=True)
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


# === Bad values ===


class OwnCell:
    def __init__(self, units):
        self.state_size, self.call = units, None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"implementation": "xlaa"}, "unknown implementation 'xlaa'; did you mean 'xla'"),
        ({"implementation": True}, "unknown implementation True; choose from 'auto', 'cudnn', 'loop', 'xla'"),
        (
            {"implementation": "cudnn", "cell": "rnn"},
            "implementation='cudnn' is not supported for this layer: Keras has no cuDNN path for a plain RNN",
        ),
        (
            {"implementation": "cudnn", "activation": "relu"},
            "implementation='cudnn' is not supported for this layer: activation='relu': cuDNN has tanh only",
        ),
        (
            {"implementation": "xla", "cell": ["gru", OwnCell]},
            "implementation='xla' is not supported for this layer: XLA supports .*, not OwnCell",
        ),
        (
            {"implementation": "xla", "activation": "silu"},
            "implementation='xla' is not supported for this layer: activation='silu': XLA supports .* elu, .*tanh",
        ),
        (
            {"implementation": "xla", "activation": [None, tf.sin]},
            "implementation='xla' is not supported for this layer: activation=a user-defined function",
        ),
    ],
)
def test_bad_values(arguments, message):
    with pytest.raises(ValueError, match=message):
        DeepRNN(2, 2, **arguments)


def test_auto_runs_layer_by_layer_what_xla_does_not_support(rng):
    """A layer that XLA supports runs on it."""
    layer, loop = (DeepRNN(2, 2, "gru", ["silu", None], implementation=kernel) for kernel in ("auto", "loop"))
    x = rng.normal(size=(N, T, D)).astype("float32")
    assert layer(x).shape == loop(x).shape
    loop.set_weights(layer.get_weights())
    assert [part.selected_implementation() for part in layer.recurrent_layers] == ["loop", "xla"]
    assert_close(layer(x), loop(x).numpy(), 1e-6)
