"""The adding problem and copy memory: definition, seeds, and training examples that can be resumed anywhere."""

import functools
import math

import numpy as np
import pytest
from refusals import outcome

from deeprnn_keras.data import GeneratedDataset, adding_problem, adding_stream, copy_memory, copy_stream


@pytest.mark.parametrize(("steps", "symbols"), [(1, 1), (7, 3), (200, 10)])
def test_copy_memory_repeats_the_symbols_after_the_signal(steps, symbols):
    x, y = copy_memory(50, steps, seed=3, symbols=symbols)
    assert x.shape == y.shape == (50, steps + 2 * symbols) and x.dtype == y.dtype == np.int32
    signal = symbols + steps - 1
    for row, target in zip(x, y, strict=True):
        assert np.flatnonzero(row == 9).tolist() == [signal]
        assert set(row[:symbols]) <= set(range(1, 9)) and not row[symbols:signal].any() and not row[signal + 1 :].any()
        assert target[signal + 1 :].tolist() == row[:symbols].tolist() and not target[: signal + 1].any()
    np.testing.assert_array_equal(copy_memory(50, steps, seed=3, symbols=symbols)[0], x)
    assert steps == 1 or np.any(copy_memory(50, steps, seed=4, symbols=symbols)[0] != x)


def test_cross_entropy_without_memory_is_the_documented_one():
    steps, symbols = 20, 10
    _, y = copy_memory(4_000, steps, seed=0)
    frequencies = np.bincount(y[:, -symbols:].ravel(), minlength=9)[1:] / (4_000 * symbols)
    nats = -symbols * np.sum(frequencies * np.log(frequencies)) / (steps + 2 * symbols)
    assert nats == pytest.approx(symbols * math.log(8) / (steps + 2 * symbols), rel=1e-3)


def batches(data):
    return [tuple(array.numpy() for array in batch) for batch in data]


def test_examples_differ_in_every_batch_and_epoch_and_are_resumed_exactly():
    def create():
        return GeneratedDataset(functools.partial(adding_problem, steps=4), 3, steps=2, seed=7)

    data = create()
    epochs = [batches(data) for _ in range(3)]
    flat = [x for epoch in epochs for x, _ in epoch]
    assert len({x.tobytes() for x in flat}) == 6 and len(data) == 2
    for epoch, batch in ((0, 0), (1, 1), (2, 0)):
        resumed = create()
        resumed.set_position(epoch, batch)
        for actual, expected in zip(batches(resumed), epochs[epoch][batch:], strict=True):
            np.testing.assert_array_equal(actual[0], expected[0])
            np.testing.assert_array_equal(actual[1], expected[1])
    other = GeneratedDataset(functools.partial(adding_problem, steps=4), 3, steps=2, seed=8)
    assert create().about == data.about != other.about


@pytest.mark.parametrize("stream", [adding_stream, copy_stream])
def test_streams_hold_out_the_same_examples_in_every_call(stream):
    one, other = (stream(steps=6, examples=10, test=3) for _ in range(2))
    for part in ("validation", "test"):
        np.testing.assert_array_equal(getattr(one, part).series, getattr(other, part).series)
        assert len(getattr(one, part)) == 3
    assert np.any(np.asarray(one.test.series) != np.asarray(one.validation.series))
    assert len(one.train) == 10 and len(one.train.dataset(4)) == 2 and len(one.train.dataset(40)) == 1


def test_wrong_arguments_are_refused():
    def constant(examples, seed):
        return np.zeros((1, 2)), np.zeros(1)

    cases = {
        "steps must be a positive integer": functools.partial(copy_memory, 1, 0),
        "symbols must be a positive integer": functools.partial(copy_memory, 1, 3, symbols=0),
        "examples must be a positive integer": functools.partial(copy_stream, 5, examples=0),
        "test must be a positive integer": functools.partial(adding_stream, 5, test=0),
        "batch_size must be a positive integer": functools.partial(adding_stream(5, test=1).train.dataset, 0),
        "generate must return arrays with 2 rows": functools.partial(GeneratedDataset, constant, 2, steps=1),
    }
    wrong = [found for message, call in cases.items() if (found := outcome(call, message))]
    assert not wrong, wrong
