"""Windows of a text, against values worked out by hand."""

import keras
import numpy as np
import pytest

from deeprnn_keras import token_windows

PIECES = [np.arange(7), np.arange(100, 104), np.arange(200, 202)]


def rows(dataset):
    """[(x, y), ...] of all windows, as lists."""
    return [pair for x, y in dataset.as_numpy_iterator() for pair in zip(x.tolist(), y.tolist(), strict=True)]


def first_symbols(dataset):
    return [x[0] for x, _ in rows(dataset)]


def test_windows_by_hand():
    assert rows(token_windows(PIECES, 3, 2, shuffle=False)) == [
        ([0, 1, 2], [1, 2, 3]),
        ([3, 4, 5], [4, 5, 6]),
        ([100, 101, 102], [101, 102, 103]),
    ]


def test_overlapping_windows_by_hand():
    wanted = [[0, 1, 2], [2, 3, 4], [100, 101, 102]]
    assert [x for x, _ in rows(token_windows(PIECES, 3, 8, stride=2, shuffle=False))] == wanted


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("stride", [None, 1, 3, 11])
def test_targets_are_shifted_by_one_within_a_piece(rng, stride, shuffle):
    pieces = [1000 * k + np.arange(size) for k, size in enumerate([50, 1, 9, 8, 31])]
    got = rows(token_windows(pieces, 8, 4, stride=stride, shuffle=shuffle))
    for x, y in got:
        np.testing.assert_array_equal(x, x[0] + np.arange(8))  # ids in a piece are consecutive, across pieces not
        np.testing.assert_array_equal(y, np.array(x) + 1)
    wanted = [1000 * k + s for k, n in enumerate([50, 1, 9, 8, 31]) for s in range(0, n - 8, stride or 8)]
    assert sorted(x[0] for x, _ in got) == wanted


def test_shapes_dtypes_and_partial_last_batch():
    dataset = token_windows([np.arange(71)], 10, 3, shuffle=False)
    batches = list(dataset.as_numpy_iterator())
    assert [x.shape for x, _ in batches] == [(3, 10), (3, 10), (1, 10)]
    assert {array.dtype for batch in batches for array in batch} == {np.dtype("int32")}
    assert int(dataset.cardinality()) == len(dataset) == 3


def test_windows_are_reshuffled_in_every_epoch():
    dataset = token_windows([np.arange(301)], 3, 7, seed=1)
    epochs = [first_symbols(dataset) for _ in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(0, 300, 3))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_seed_fixes_the_orders():
    def epochs(seed):
        dataset = token_windows([np.arange(301)], 3, 7, seed=seed)
        return [first_symbols(dataset), first_symbols(dataset)]

    assert epochs(1) == epochs(1) != epochs(2)


class Reader(keras.Model):
    """Notes the first symbol of each window that `fit` feeds it."""

    def __init__(self):
        super().__init__()
        self.read = []

    def train_step(self, data):
        self.read += data[0].numpy()[:, 0].tolist()
        return {"loss": 0.0}


def orders_in_fit(epochs):
    keras.utils.set_random_seed(3)
    reader = Reader()
    reader.compile(run_eagerly=True)
    reader.fit(token_windows([np.arange(301)], 3, 7), epochs=epochs, verbose=0, shuffle=False)
    return np.split(np.array(reader.read), epochs)


def test_fit_after_set_random_seed_reshuffles():
    """`fit` on NumPy arrays repeats one permutation in every epoch after `keras.utils.set_random_seed`."""
    epochs = orders_in_fit(3)
    assert {tuple(sorted(epoch)) for epoch in epochs} == {tuple(range(0, 300, 3))}
    assert len({tuple(epoch) for epoch in epochs}) == 3
    np.testing.assert_array_equal(orders_in_fit(3), epochs)


@pytest.mark.parametrize("pieces", [[4, 10, 2], [10], []], ids=str)
def test_text_shorter_than_a_window(pieces):
    with pytest.raises(ValueError, match="too short for one window") as error:
        token_windows([np.arange(size) for size in pieces], 10, 1)
    for part in ("T = 10", "needs 11 symbols", f"longest of {len(pieces)} pieces has {max(pieces, default=0)}"):
        assert part in str(error.value)


@pytest.mark.parametrize("name", ["length", "batch_size", "stride"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_bad_sizes_of_windows(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a positive integer"):
        token_windows([np.arange(20)], **{"length": 3, "batch_size": 2, name: value})
