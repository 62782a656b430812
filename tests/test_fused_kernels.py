"""The parts of the fused kernel: activations, recurrences and their gradients, the loop, pieces of batch and time."""

import logging

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from oracles import assert_close

import deeprnn_keras
from deeprnn_keras.kernels.rules import FUSED_ACTIVATIONS
from deeprnn_keras.kernels.tensorflow import batch, plan
from deeprnn_keras.kernels.tensorflow.activations import ACTIVATIONS
from deeprnn_keras.kernels.tensorflow.fused import fused, packed
from deeprnn_keras.kernels.tensorflow.gru import GRU, GRUResetBefore
from deeprnn_keras.kernels.tensorflow.lstm import LSTM
from deeprnn_keras.kernels.tensorflow.scan import scan
from deeprnn_keras.kernels.tensorflow.simple_rnn import SimpleRNN

D, H, T = 2, 3, 5
RECURRENCES = {"rnn": SimpleRNN, "gru": GRU, "gru_reset_before": GRUResetBefore, "lstm": LSTM}
# activations of the candidate and of the gates; every one of them stands somewhere
PAIRS = {
    "rnn": [("tanh",), ("elu",), ("softsign",)],
    "gru": [("tanh", "sigmoid"), ("leaky_relu", "hard_sigmoid"), ("exponential", "softsign")],
    "gru_reset_before": [("tanh", "sigmoid"), ("softplus", "hard_sigmoid"), ("linear", "sigmoid")],
    "lstm": [("tanh", "sigmoid"), ("relu", "hard_sigmoid"), ("softsign", "softplus")],
}
CELLS = [pytest.param(cell, pair, id=f"{cell}-{'-'.join(pair)}") for cell, pairs in PAIRS.items() for pair in pairs]
MASK = np.array(
    [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 1, 1, 1, 1]], bool
)


def weights(rng, cell):
    """(kernel, recurrent kernel, bias) in Keras' layout, in double precision."""
    gates = {"rnn": 1, "lstm": 4}.get(cell, 3) * H
    bias = (2, gates) if cell == "gru" else (gates,)
    return [tf.constant(rng.normal(size=shape, scale=0.6)) for shape in ((D, gates), (H, gates), bias)]


def inputs(rng, recurrence, n=3):
    """x (T, d, n), states (h, n)."""
    states = [tf.constant(rng.normal(size=(H, n), scale=0.6)) for _ in range(recurrence.states)]
    return tf.constant(rng.normal(size=(T, D, n))), states


# === Activations ===


def test_the_rules_name_the_activations_that_there_are():
    assert set(FUSED_ACTIVATIONS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_that_of_keras_and_its_slope_follows_from_the_value(rng, name):
    x = rng.uniform(-6, 6, size=2000)
    x = tf.constant(x[np.min(np.abs(x[:, None] - [-3.0, 0.0, 3.0]), axis=1) > 1e-3])  # beside the kinks
    with tf.GradientTape() as tape:
        tape.watch(x)
        wanted = getattr(keras.activations, name)(x)
    y = ACTIVATIONS[name].function(x)
    assert_close(y, wanted.numpy(), 1e-14)
    assert_close(ACTIVATIONS[name].slope(y), tape.gradient(wanted, x).numpy(), 1e-12)


# === Recurrences ===


@pytest.mark.parametrize("cell", RECURRENCES)
def test_a_step_is_the_equation(rng, cell):
    recurrence, given = RECURRENCES[cell](), weights(rng, cell)
    x, states = inputs(rng, recurrence)
    new, _ = recurrence.forward(recurrence.pack(*given), x[0], states)
    wanted = oracles.STEPS[cell](x[0].numpy().T, [s.numpy().T for s in states], [w.numpy() for w in given])
    assert_close([s.numpy().T for s in new], list(wanted), 1e-13)


def step_by_step(recurrence, x, given, states, mask):
    """The recurrence as a plain loop, for TensorFlow to differentiate."""
    ready, hs = recurrence.pack(*given), []
    for t in range(x.shape[0]):
        new, _ = recurrence.forward(ready, x[t], states)
        states = [new_s if mask is None else tf.where(mask[t], new_s, s) for new_s, s in zip(new, states, strict=True)]
        hs.append(states[0])
    return tf.stack(hs), states


def with_gradients(run, sources):
    """What `run` gives, and the gradients of its sum, each number counted with a factor of its own."""
    with tf.GradientTape() as tape:
        tape.watch(sources)
        hs, final = run(*sources)
        numbers = tf.concat([tf.reshape(y, [-1]) for y in (*final, hs)], 0)
        loss = tf.reduce_sum(numbers * tf.sin(1.0 + tf.range(len(numbers), dtype="float64")))
    return hs, final, tape.gradient(loss, sources)


def assert_equal(got, wanted):
    for one, other in zip(tf.nest.flatten(got), tf.nest.flatten(wanted), strict=True):
        assert_close(one, other.numpy(), 1e-12)


def ways(under_xla):
    """(keep what the way back needs, under XLA)."""
    return [(True, False), (False, False), *[(True, True), (False, True)] * under_xla]


def on_kernel(recurrence, span, keep, compiled):
    return lambda x, given, states: fused(
        recurrence, x, packed(recurrence, given), states, span, keep=keep, compiled=compiled
    )


@pytest.mark.parametrize("n", [3, 6], ids=["few examples", "more examples"])
@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
@pytest.mark.parametrize(("cell", "pair"), CELLS)
def test_the_gradient_by_hand_is_that_of_the_steps(rng, cell, pair, masked, n):
    recurrence, given = RECURRENCES[cell](*pair), weights(rng, cell)
    x, states = inputs(rng, recurrence, n)
    mask = tf.constant(MASK[:n].T[:, None]) if masked else None
    wanted = with_gradients(
        lambda x, given, states: step_by_step(recurrence, x, given, states, mask), [x, given, states]
    )
    assert all(np.any(gradient) for gradient in tf.nest.flatten(wanted[-1]))
    under_xla = pair in (("tanh",), ("tanh", "sigmoid")) and masked == (n > 3)  # it takes its time
    for keep, compiled in ways(under_xla):
        got = with_gradients(on_kernel(recurrence, (mask, None), keep, compiled), [x, given, states])
        assert_equal(got, wanted)


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("cell", RECURRENCES)
def test_what_stands_behind_the_last_step_does_not_matter(rng, cell, steps):
    recurrence, given = RECURRENCES[cell](), weights(rng, cell)
    x, states = inputs(rng, recurrence)
    for keep, compiled in ways(True):
        hs, final, (dx, *rest) = with_gradients(
            on_kernel(recurrence, (None, tf.constant(steps)), keep, compiled), [x, given, states]
        )
        assert not np.any(hs[steps:]) and not np.any(dx[steps:])
        if steps:
            short = [x[:steps], given, states]
            wanted = with_gradients(lambda *s: step_by_step(recurrence, *s, None), short)
            assert_equal([hs[:steps], final, [dx[:steps], *rest]], wanted)
        else:
            assert_equal(final, states)
            assert not np.any(np.concatenate([np.ravel(g) for g in rest[0]]))


def test_equal_recurrences_share_what_is_compiled():
    assert LSTM("relu") == LSTM("relu") and hash(LSTM("relu")) == hash(LSTM("relu"))
    assert len({LSTM(), LSTM("relu"), LSTM("tanh", "relu"), GRU(), GRUResetBefore(), SimpleRNN()}) == 6


# === The loop ===


@pytest.mark.parametrize("known", [True, False], ids=["T known", "T unknown"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [1, 4])
def test_scan_carries_and_stacks(steps, reverse, known):
    """The carry is a number written in base 10, digit by digit; what is saved stands at its own t."""

    def step(t, carry):
        return [carry[0] * 10 + tf.cast(t + 1, "float64"), carry[1] + 1], [carry[0], carry[1]]

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((), "int32")])
    def run(length):
        start = [tf.zeros((1, 2), "float64"), tf.ones((1, 2), "float64")]
        return scan(steps if known else length, step, start, [1, 1], 2, "float64", reverse=reverse)

    (number, count), (before, counts) = run(steps)
    order = list(range(steps))[:: -1 if reverse else 1]
    digits = "".join(str(t + 1) for t in order)
    assert number.numpy().tolist() == [[int(digits)] * 2] and count.numpy().tolist() == [[steps + 1] * 2]
    assert before.shape == counts.shape == (steps, 1, 2)
    for place, t in enumerate(order):
        assert before[t, 0, 0] == int(digits[:place] or 0) and counts[t, 0, 1] == 1 + place


# === Pieces of the batch ===


@pytest.mark.parametrize("pieces", [1, 2])
def test_rounded_up_is_the_same_for_numbers_and_tensors(pieces):
    sizes = [*range(1, 600), 1023, 1024, 1025, 4097, 65536, 65537, 100_000]
    wanted = [batch.rounded_up(n, pieces) for n in sizes]
    assert tf.map_fn(lambda n: batch.rounded_up(n, pieces), tf.constant(sizes)).numpy().tolist() == wanted
    for n, rounded in zip(sizes, wanted, strict=True):
        assert n <= rounded <= 1.25 * n + 2 * pieces and (n == 1 or rounded % pieces == 0)
        assert batch.rounded_up(rounded, pieces) == rounded


def test_rounded_up_has_four_sizes_per_octave():
    assert {batch.rounded_up(n) for n in range(1, 41)} == {*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32, 40}
    for octave in range(3, 12):
        assert len({batch.rounded_up(n) for n in range(2**octave + 1, 2 ** (octave + 1) + 1)}) == 4


@pytest.mark.parametrize("known", [True, False], ids=["n known", "n unknown"])
@pytest.mark.parametrize(
    ("n", "rows", "pieces"), [(1, 1, 2), (1, 2, 2), (3, 4, 2), (7, 8, 2), (4, 4, 2), (5, 5, 1), (5, 9, 3)]
)
def test_split_and_join_give_the_batch_back(rng, n, rows, pieces, known):
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(n, 3, 2))
    specs = [tf.TensorSpec((n if known else None, *array.shape[1:]), "float64") for array in (x, y)]
    parts = []

    @tf.function(autograph=False, input_signature=specs)
    def run(x, y):
        parts.extend(batch.split([x, None, y], rows, pieces))
        back = batch.join([[part[0], part[2]] for part in parts], tf.shape(x)[0] if x.shape[0] is None else n)
        return [[tf.shape(part[0])[0], tf.shape(part[2])[0]] for part in parts], back

    sizes, back = run(x, y)
    assert [part[1] for part in parts] == [None] * pieces
    wanted = [1, 0] if rows == 1 else [rows // pieces] * pieces
    assert tf.nest.map_structure(int, sizes) == [[size, size] for size in wanted]
    assert_close(back, [x, y], 0)


def test_rows_that_fill_the_batch_have_no_gradient(rng):
    x = tf.constant(rng.normal(size=(3, 2)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        ((filled,),) = batch.split([x], 8, 1)
        loss = tf.reduce_sum(filled**2)
    assert_close(filled[3:], np.repeat(x.numpy()[-1:], 5, axis=0), 0)
    assert_close(tape.gradient(loss, x), 2 * x.numpy(), 1e-15)


# === The plan ===


def planned(steps, known, lean):
    """The plan for T steps, and its chunks as numbers."""
    made = []

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((2, steps if known else None, 1))])
    def run(x):
        made.append(plan.plan(((SimpleRNN("elu"), 1, steps),), x, True, lean))
        return [tf.identity(length) for length in made[0].chunks]

    chunks = [int(length) for length in run(tf.zeros((2, steps, 1)))]
    return made[0], chunks


@pytest.mark.parametrize("steps", [1, 3, 31, 32, 33, 70, 300])
def test_chunks_of_time_are_the_whole_time(steps):
    for lean, most in ((False, plan.CHUNK), (True, plan.LEAN_CHUNK)):
        how, chunks = planned(steps, True, lean)
        assert sum(chunks) == steps and 1 <= min(chunks) <= max(chunks) <= most and how.keep is not lean
    how, chunks = planned(steps, False, lean=True)
    assert sum(chunks) == steps and len(chunks) == plan.LEAN_CHUNKS and max(chunks) - min(chunks) <= 1 and not how.keep


def test_deep_stacks_are_one_piece_in_many_chunks():
    x = tf.zeros((2, 30, 1))
    deep, flat = (plan.plan(((SimpleRNN("elu"), 1, 402),) * layers, x, True) for layers in (plan.DEEP, 2))
    assert (deep.pieces, deep.chunks) == (1, [15, 15]) and (flat.pieces, flat.chunks) == (2, [30])


def test_only_the_first_lengths_are_compiled_as_they_are():
    x, layers, others = tf.zeros((2, 30, 1)), ((SimpleRNN("elu"), 1, 400),), ((SimpleRNN("elu"), 1, 401),)
    plans = [plan.plan(layers, x[:, :steps], False) for steps in range(2, 20)]
    assert [how.padded for how in plans] == [False] * plan.MAX_LENGTHS + [True] * (18 - plan.MAX_LENGTHS)
    assert not plan.plan(layers, x[:, :3], False).padded and not plan.plan(others, x[:, :19], False).padded
    assert planned(5, False, lean=False)[0].padded
    assert not plan.plan(layers, x[:, :1], False).compiled  # one step is no loop


def test_many_lengths_are_no_reason_for_a_warning():
    """TensorFlow warns of functions that are traced again and again; these are not the user's to mend."""
    records, handler = [], logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logging.getLogger("tensorflow").addHandler(handler)
    layer = deeprnn_keras.SimpleRNN(2)
    for steps in range(2, 10):
        layer(tf.zeros((2, steps, 1)))
    logging.getLogger("tensorflow").removeHandler(handler)
    assert [text for text in records if "retracing" in text] == []
