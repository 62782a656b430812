"""Datasets of data-parallel runs: rows of each process, position, carried rows, and refused batch sizes."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from refusals import outcome

from deeprnn_keras import SeriesDataset, TBPTTDataset, token_windows
from deeprnn_keras.data import ArrayDataset, BucketedDataset, batches
from deeprnn_keras.data.batches import Batches
from deeprnn_keras.processes import Shard, from_first, is_first, process_count

RNG = np.random.default_rng(0)
SEQUENCES = [RNG.normal(size=(1 + k % 4, 2)) for k in range(21)]
TARGETS = [np.arange(len(sequence)) for sequence in SEQUENCES]
SERIES = [np.where(np.arange(40) % 7, RNG.normal(size=40), np.nan), RNG.normal(size=33)]
PIECES = [np.arange(60), np.arange(100, 141)]

DATASETS = {
    "streams": lambda n: TBPTTDataset(np.arange(100), n, 3),
    "random lengths": lambda n: TBPTTDataset(np.arange(300), n, 12, random_bptt=True, seed=3),
    "token windows": lambda n: token_windows(PIECES, 4, n, seed=1),
    "buckets": lambda n: BucketedDataset(SEQUENCES, TARGETS, n, num_buckets=3, seed=2, masks=True),
    "series": lambda n: SeriesDataset(SERIES, 3, n, missing="mask", static=[[1.0], [2.0]], seed=4),
    "arrays": lambda n: ArrayDataset(np.arange(27), np.arange(27), n, seed=5),
}


def read_as(monkeypatch, shard, make, epoch=0, batch=0):
    """Return the batches of an epoch that a process reads, each as a list of arrays."""
    monkeypatch.setattr(batches, "current_shard", lambda: shard)
    data = make()
    data.set_position(epoch, batch)
    return [[array.numpy() for array in tf.nest.flatten(one)] for one in data]


CASES = [*((name, 2, 4) for name in DATASETS), ("token windows", 3, 3), ("arrays", 1, 2)]


@pytest.mark.parametrize(("name", "count", "devices"), CASES)
def test_processes_read_the_rows_of_every_batch(name, count, devices, monkeypatch):
    """The rows of all processes, in order, are those of the batch, repeated if the devices cannot divide it."""
    whole = read_as(monkeypatch, Shard(), lambda: DATASETS[name](12), 1, 1)
    parts = [
        read_as(monkeypatch, Shard(index, count, devices), lambda: DATASETS[name](12), 1, 1) for index in range(count)
    ]
    assert len(whole) > 0
    for batch, *shares in zip(whole, *parts, strict=True):
        rows = len(batch[0])
        repeated = 1 if rows % devices == 0 else devices // np.gcd(rows, devices)
        assert "streams" not in name or repeated == 1  # carried states belong to rows
        for array, *shared in zip(batch, *shares, strict=True):
            assert {len(part) for part in shared} == {rows * repeated // count}
            np.testing.assert_array_equal(np.concatenate(shared), np.concatenate([array] * repeated))


def test_rows_of_a_stream_continue_in_the_same_process(monkeypatch):
    for index in range(2):
        parts = read_as(monkeypatch, Shard(index, 2, 2), lambda: TBPTTDataset(np.arange(101), 4, 5))
        for (x, _, _), (following, reset, _) in itertools.pairwise(parts):
            assert not reset.any()
            np.testing.assert_array_equal(following[:, 0], x[:, -1] + 1)


def whole_batches(n):
    """Return a dataset that makes whole batches from their numbers."""

    def make_batch(number):
        return tf.reshape(tf.range(2 * n, dtype=tf.int64) + number, (n, 2)), tf.fill((n,), number)

    return Batches(lambda epoch: [np.arange(3)], [tf.TensorSpec((), tf.int64)], make_batch, {"n": n})


def test_batches_that_are_made_as_a_whole_are_divided(monkeypatch):
    whole, *parts = (
        read_as(monkeypatch, shard, lambda: whole_batches(4)) for shard in (Shard(), Shard(0, 2, 2), Shard(1, 2, 2))
    )
    for batch, *shares in zip(whole, *parts, strict=True):
        for array, *shared in zip(batch, *shares, strict=True):
            np.testing.assert_array_equal(np.concatenate(shared), array)


def test_position_and_description_are_those_of_whole_batches(monkeypatch):
    """So that a run may be resumed with another number of processes."""
    whole = DATASETS["random lengths"](12)
    monkeypatch.setattr(batches, "current_shard", lambda: Shard(1, 2, 2))
    part = DATASETS["random lengths"](12)
    assert (len(part), part.about, list(part.lengths(3))) == (len(whole), whole.about, list(whole.lengths(3)))
    for row, expected in zip(part.epoch_plan(3, 1), whole.epoch_plan(3, 1), strict=True):
        assert all(map(np.array_equal, row, expected))


def test_batch_sizes_that_the_devices_cannot_divide_are_refused(monkeypatch):
    monkeypatch.setattr(batches, "current_shard", lambda: Shard(0, 2, 4))
    message = "batch_size must be a multiple of the number of devices, 4 in 2 processes, got 6; the nearest are 4 and 8"
    makers = {**DATASETS, "whole batches": whole_batches}
    wrong = {name: outcome(lambda make=make: make(6), message) for name, make in makers.items()}
    assert not any(wrong.values()), wrong
    assert [Shard(0, 2, 4).round_down(n) for n in (1, 4, 9)] == [4, 4, 8]
    assert [Shard(0, 2, 4).round_up(n) for n in (1, 4, 9)] == [4, 4, 12]


def test_dataset_of_another_run_is_refused(monkeypatch):
    data = DATASETS["arrays"](12)
    monkeypatch.setattr(batches, "current_shard", lambda: Shard(0, 2, 2))
    with pytest.raises(ValueError, match=r"call deeprnn_keras.training.distribute\(\) before creating datasets"):
        next(iter(data))


def test_single_process_is_the_first():
    assert (process_count(), is_first(), from_first(lambda: 3)) == (1, True, 3)
