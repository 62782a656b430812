"""Pieces of batch and time of the XLA implementation, and the number of shapes it compiles."""

import logging

import numpy as np
import pytest
import tensorflow as tf
from oracles import assert_close

from deeprnn_keras.kernels.xla import layout, plan
from deeprnn_keras.kernels.xla.layout import _split_batch as split_batch
from deeprnn_keras.kernels.xla.plan import rounded_up
from deeprnn_keras.layers import SimpleRNN

# === Pieces of the batch ===


@pytest.mark.parametrize("pieces", [1, 2])
def test_rounded_up_is_the_same_for_numbers_and_tensors(pieces):
    sizes = [*range(1, 600), 1023, 1024, 1025, 4097, 65536, 65537, 100_000]
    wanted = [rounded_up(n, pieces) for n in sizes]
    assert tf.map_fn(lambda n: rounded_up(n, pieces), tf.constant(sizes)).numpy().tolist() == wanted
    for n, rounded in zip(sizes, wanted, strict=True):
        assert n <= rounded <= 1.25 * n + 2 * pieces and (n == 1 or rounded % pieces == 0)
        assert rounded_up(rounded, pieces) == rounded


def test_rounded_up_has_four_sizes_per_octave():
    assert {rounded_up(n) for n in range(1, 41)} == {*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32, 40}
    for octave in range(3, 12):
        assert len({rounded_up(n) for n in range(2**octave + 1, 2 ** (octave + 1) + 1)}) == 4


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
        parts.extend(split_batch([x, None, y], rows, pieces))
        feature_major = [[tf.transpose(part[0]), tf.transpose(part[2], (1, 2, 0))] for part in parts]
        back = layout.join_pieces(feature_major, x)
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
        ((filled,),) = split_batch([x], 8, 1)
        loss = tf.reduce_sum(filled**2)
    assert_close(filled[3:], np.repeat(x.numpy()[-1:], 5, axis=0), 0)
    assert_close(tape.gradient(loss, x), 2 * x.numpy(), 1e-15)


# === The plan ===


def planned(steps, known, remat):
    """The plan for T steps, and its chunks as numbers."""
    made = []

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((2, steps if known else None, 1))])
    def run(x):
        made.append(plan.make_plan([4], x, True, remat, {}))
        return [tf.identity(length) for length in made[0].chunks]

    chunks = [int(length) for length in run(tf.zeros((2, steps, 1)))]
    return made[0], chunks


@pytest.mark.parametrize("steps", [1, 3, 31, 32, 33, 70, 300])
def test_chunks_of_time_are_the_whole_time(steps):
    for remat, most in ((False, plan.CHUNK), (True, plan.REMAT_CHUNK)):
        how, chunks = planned(steps, True, remat)
        assert sum(chunks) == steps and 1 <= min(chunks) <= max(chunks) <= most and how.store is not remat
    how, chunks = planned(steps, False, remat=True)
    assert (
        sum(chunks) == steps and len(chunks) == plan.REMAT_CHUNKS and max(chunks) - min(chunks) <= 1 and not how.store
    )


def test_deep_stacks_are_one_piece_in_many_chunks():
    x = tf.zeros((2, 30, 1))
    deep, flat = (plan.make_plan([4] * layers, x, True, False, {}) for layers in (plan.DEEP, 2))
    assert (deep.pieces, deep.chunks) == (1, [15, 15]) and (flat.pieces, flat.chunks) == (2, [30])


def test_only_the_first_lengths_are_compiled_as_they_are():
    x, memory = tf.zeros((2, 30, 1)), {}

    def planned_for(steps, memory):
        return plan.make_plan([4], x[:, :steps], False, False, memory)

    plans = [planned_for(steps, memory) for steps in range(2, 20)]
    assert [how.padded for how in plans] == [False] * plan.MAX_LENGTHS + [True] * (18 - plan.MAX_LENGTHS)
    assert not planned_for(3, memory).padded and not planned_for(19, {}).padded  # another layer, another memory
    assert planned(5, False, remat=False)[0].padded
    assert not planned_for(1, memory).compiled  # one step is no loop


def test_many_lengths_are_no_reason_for_a_warning():
    """TensorFlow warns of functions that are traced again and again; these are not the user's to mend."""
    records, handler = [], logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logging.getLogger("tensorflow").addHandler(handler)
    layer = SimpleRNN(2)
    for steps in range(2, 10):
        layer(tf.zeros((2, steps, 1)))
    logging.getLogger("tensorflow").removeHandler(handler)
    assert [text for text in records if "retracing" in text] == []
