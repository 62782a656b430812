"""`token_windows`: contents and order of the batches, and rejected arguments."""

import keras
import numpy as np
import pytest

from deeprnn_keras import token_windows

PIECES = [np.arange(7), np.arange(100, 104), np.arange(200, 202)]


def rows(dataset):
    """Return [(x, y), ...] of all windows as lists."""
    return [pair for x, y in dataset.as_numpy_iterator() for pair in zip(x.tolist(), y.tolist(), strict=True)]


def first_tokens(dataset):
    return [x[0] for x, _ in rows(dataset)]


def test_windows_do_not_cross_pieces():
    assert rows(token_windows(PIECES, 3, 2, shuffle=False)) == [
        ([0, 1, 2], [1, 2, 3]),
        ([3, 4, 5], [4, 5, 6]),
        ([100, 101, 102], [101, 102, 103]),
    ]


def test_overlapping_windows():
    expected = [[0, 1, 2], [2, 3, 4], [100, 101, 102]]
    assert [x for x, _ in rows(token_windows(PIECES, 3, 8, stride=2, shuffle=False))] == expected


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("stride", [None, 1, 3, 11])
def test_targets_are_shifted_by_one_within_a_piece(rng, stride, shuffle):
    pieces = [1000 * k + np.arange(size) for k, size in enumerate([50, 1, 9, 8, 31])]
    windows = rows(token_windows(pieces, 8, 4, stride=stride, shuffle=shuffle))
    for x, y in windows:
        np.testing.assert_array_equal(x, x[0] + np.arange(8))  # ids are consecutive within a piece only
        np.testing.assert_array_equal(y, np.array(x) + 1)
    expected = [1000 * k + s for k, n in enumerate([50, 1, 9, 8, 31]) for s in range(0, n - 8, stride or 8)]
    assert sorted(x[0] for x, _ in windows) == expected


def test_shapes_dtypes_and_partial_last_batch():
    dataset = token_windows([np.arange(71)], 10, 3, shuffle=False)
    batches = list(dataset.as_numpy_iterator())
    assert [x.shape for x, _ in batches] == [(3, 10), (3, 10), (1, 10)]
    assert {array.dtype for batch in batches for array in batch} == {np.dtype("int32")}
    assert int(dataset.cardinality()) == len(dataset) == 3


def test_windows_are_reshuffled_in_every_epoch():
    dataset = token_windows([np.arange(301)], 3, 7, seed=1)
    epochs = [first_tokens(dataset) for _ in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(0, 300, 3))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_seed_determines_the_orders():
    def epochs(seed):
        dataset = token_windows([np.arange(301)], 3, 7, seed=seed)
        return [first_tokens(dataset), first_tokens(dataset)]

    assert epochs(1) == epochs(1) != epochs(2)


class Recorder(keras.Model):
    """Model that records the first token of each window in `fit`."""

    def __init__(self):
        super().__init__()
        self.first_tokens = []

    def train_step(self, data):
        self.first_tokens += data[0].numpy()[:, 0].tolist()
        return {"loss": 0.0}


def orders_in_fit(epochs):
    keras.utils.set_random_seed(3)
    recorder = Recorder()
    recorder.compile(run_eagerly=True)
    recorder.fit(token_windows([np.arange(301)], 3, 7), epochs=epochs, verbose=0, shuffle=False)
    return np.split(np.array(recorder.first_tokens), epochs)


def test_fit_after_set_random_seed_reshuffles():
    """Compare `fit` with NumPy arrays, which repeats one order after `keras.utils.set_random_seed`."""
    epochs = orders_in_fit(3)
    assert {tuple(sorted(epoch)) for epoch in epochs} == {tuple(range(0, 300, 3))}
    assert len({tuple(epoch) for epoch in epochs}) == 3
    np.testing.assert_array_equal(orders_in_fit(3), epochs)


@pytest.mark.parametrize("pieces", [[4, 10, 2], [10], []], ids=str)
def test_text_shorter_than_a_window_is_an_error(pieces):
    with pytest.raises(ValueError, match="at least 11 tokens for one window of length=10") as error:
        token_windows([np.arange(size) for size in pieces], 10, 1)
    assert f"got at most {max(pieces, default=0)} in {len(pieces)} pieces" in str(error.value)


@pytest.mark.parametrize("name", ["length", "batch_size", "stride"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_sizes_must_be_positive_integers(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a positive integer"):
        token_windows([np.arange(20)], **{"length": 3, "batch_size": 2, name: value})
