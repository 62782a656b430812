"""Pieces of the batch and chunks of time of the XLA implementation, and the number of shapes it compiles."""

import logging

import numpy as np
import pytest
import tensorflow as tf
from oracles import assert_close

from deeprnn_keras.kernels.xla import layout, plan
from deeprnn_keras.kernels.xla.layout import _split_batch as split_batch
from deeprnn_keras.kernels.xla.plan import round_up
from deeprnn_keras.layers import SimpleRNN

# === Pieces of the batch ===


@pytest.mark.parametrize("pieces", [1, 2])
def test_round_up_of_ints_equals_that_of_tensors(pieces):
    sizes = [*range(1, 600), 1023, 1024, 1025, 4097, 65536, 65537, 100_000]
    expected = [round_up(n, pieces) for n in sizes]
    assert tf.map_fn(lambda n: round_up(n, pieces), tf.constant(sizes)).numpy().tolist() == expected
    for n, rounded in zip(sizes, expected, strict=True):
        assert n <= rounded <= 1.25 * n + 2 * pieces and (n == 1 or rounded % pieces == 0)
        assert round_up(rounded, pieces) == rounded


def test_round_up_has_four_sizes_per_octave():
    assert {round_up(n) for n in range(1, 41)} == {*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32, 40}
    for octave in range(3, 12):
        assert len({round_up(n) for n in range(2**octave + 1, 2 ** (octave + 1) + 1)}) == 4


@pytest.mark.parametrize("known", [True, False], ids=["n known", "n unknown"])
@pytest.mark.parametrize(
    ("n", "batch_size", "pieces"), [(1, 1, 2), (1, 2, 2), (3, 4, 2), (7, 8, 2), (4, 4, 2), (5, 5, 1), (5, 9, 3)]
)
def test_join_inverts_split(rng, n, batch_size, pieces, known):
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(n, 3, 2))
    specs = [tf.TensorSpec((n if known else None, *array.shape[1:]), "float64") for array in (x, y)]
    parts = []

    @tf.function(autograph=False, input_signature=specs)
    def run(x, y):
        parts.extend(split_batch([x, None, y], batch_size, pieces))
        feature_major = [[tf.transpose(part[0]), tf.transpose(part[2], (1, 2, 0))] for part in parts]
        joined = layout.join_pieces(feature_major, x)
        return [[tf.shape(part[0])[0], tf.shape(part[2])[0]] for part in parts], joined

    sizes, joined = run(x, y)
    assert [part[1] for part in parts] == [None] * pieces
    expected = [1, 0] if batch_size == 1 else [batch_size // pieces] * pieces
    assert tf.nest.map_structure(int, sizes) == [[size, size] for size in expected]
    assert_close(joined, [x, y], 0)


def test_padding_rows_have_no_gradient(rng):
    x = tf.constant(rng.normal(size=(3, 2)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        ((padded,),) = split_batch([x], 8, 1)
        loss = tf.reduce_sum(padded**2)
    assert_close(padded[3:], np.repeat(x.numpy()[-1:], 5, axis=0), 0)
    assert_close(tape.gradient(loss, x), 2 * x.numpy(), 1e-15)


# === The plan ===


def plan_for(steps, known, remat):
    """Return the plan for T steps and its chunk lengths as ints."""
    plans = []

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((2, steps if known else None, 1))])
    def run(x):
        plans.append(plan.make_plan([4], x, True, remat, {}))
        return [tf.identity(length) for length in plans[0].chunks]

    chunks = [int(length) for length in run(tf.zeros((2, steps, 1)))]
    return plans[0], chunks


@pytest.mark.parametrize("steps", [1, 3, 31, 32, 33, 70, 300])
def test_chunks_cover_all_steps(steps):
    for remat, max_steps in ((False, plan.CHUNK_STEPS), (True, plan.REMAT_CHUNK_STEPS)):
        known_plan, chunks = plan_for(steps, True, remat)
        assert sum(chunks) == steps and 1 <= min(chunks) <= max(chunks) <= max_steps
        assert known_plan.store is not remat
    unknown_plan, chunks = plan_for(steps, False, remat=True)
    assert sum(chunks) == steps and len(chunks) == plan.REMAT_CHUNKS and max(chunks) - min(chunks) <= 1
    assert not unknown_plan.store


def test_deep_stack_runs_in_one_piece_and_many_chunks():
    x = tf.zeros((2, 30, 1))
    deep, shallow = (plan.make_plan([4] * layers, x, True, False, {}) for layers in (plan.DEEP_LAYERS, 2))
    assert (deep.pieces, deep.chunks) == (1, [15, 15]) and (shallow.pieces, shallow.chunks) == (2, [30])


def test_only_first_lengths_are_compiled_without_padding():
    x, cache = tf.zeros((2, 30, 1)), {}

    def cached_plan(steps, cache):
        return plan.make_plan([4], x[:, :steps], False, False, cache)

    plans = [cached_plan(steps, cache) for steps in range(2, 20)]
    assert [each.padded for each in plans] == [False] * plan.MAX_LENGTHS + [True] * (18 - plan.MAX_LENGTHS)
    assert not cached_plan(3, cache).padded and not cached_plan(19, {}).padded  # {} is the cache of another layer
    assert plan_for(5, False, remat=False)[0].padded
    assert not cached_plan(1, cache).compiled  # one step needs no loop


def test_many_lengths_issue_no_retracing_warning():
    """TensorFlow warns about functions that are retraced often; users cannot change these."""
    records, handler = [], logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logging.getLogger("tensorflow").addHandler(handler)
    layer = SimpleRNN(2)
    for steps in range(2, 10):
        layer(tf.zeros((2, steps, 1)))
    logging.getLogger("tensorflow").removeHandler(handler)
    assert [text for text in records if "retracing" in text] == []
