"""`TBPTTDataset`: contents of the batches, random lengths, positions, and rejected arguments."""

import numpy as np
import pytest

from deeprnn_keras import TBPTTDataset, token_windows
from deeprnn_keras.data.stream_plan import random_lengths


def read_batches(data):
    """Return [(x, reset_mask or None, y)] as arrays."""
    batches = []
    for x, y in data:
        x, reset_mask = x if isinstance(x, tuple) else (x, None)
        batches.append((x.numpy(), None if reset_mask is None else reset_mask.numpy(), y.numpy()))
    return batches


# === Streams ===


@pytest.mark.parametrize(
    ("size", "n", "length"), [(61, 3, 4), (60, 3, 4), (65, 3, 4), (13, 1, 12), (14, 1, 12), (13, 12, 1), (25, 2, 3)]
)
def test_streams_are_contiguous_and_targets_are_the_next_step(size, n, length):
    """Every step but the last `(size - 1) mod n` is read once; the last batch may be shorter."""
    stream = np.random.default_rng(0).integers(100, size=size)
    batches = read_batches(TBPTTDataset(stream, n, length))
    x, y = (np.concatenate([batch[k] for batch in batches], axis=1) for k in (0, 2))
    steps = (size - 1) // n
    assert x.shape == (n, steps) and len(batches) == -(-steps // length)
    assert {batch[0].shape[1] for batch in batches[:-1]} <= {length}
    for row in range(n):
        np.testing.assert_array_equal(x[row], stream[row * steps : (row + 1) * steps])
        np.testing.assert_array_equal(y[row], stream[row * steps + 1 : (row + 1) * steps + 1])
    assert [batch[1].tolist() for batch in batches] == [[k == 0] * n for k in range(len(batches))]


def test_rows_do_not_cross_pieces():
    pieces = [np.arange(9), 100 + np.arange(8), 200 + np.arange(2)]
    batches = read_batches(TBPTTDataset(pieces, 2, 2))
    assert [batch[0].tolist() for batch in batches] == [[[0, 1], [6, 7]], [[2, 3], [100, 101]], [[4, 5], [102, 103]]]
    assert [batch[1].tolist() for batch in batches] == [[True, True], [False, True], [False, False]]
    assert [batch[2].tolist() for batch in batches] == [[[1, 2], [7, 8]], [[3, 4], [101, 102]], [[5, 6], [103, 104]]]


def test_pieces_of_equal_length_are_read_completely():
    pieces = [np.arange(6), 100 + np.arange(6), 200 + np.arange(6), 300 + np.arange(6)]
    batches = read_batches(TBPTTDataset(pieces, 2, 3))
    assert [batch[0].tolist() for batch in batches] == [
        [[0, 1, 2], [200, 201, 202]],
        [[3, 4], [203, 204]],
        [[100, 101, 102], [300, 301, 302]],
        [[103, 104], [303, 304]],
    ]
    assert [batch[1].tolist() for batch in batches] == [[True] * 2, [False] * 2] * 2
    assert batches[1][2].tolist() == [[4, 5], [204, 205]]


@pytest.mark.parametrize(("size", "steps", "last"), [(21, 5, None), (20, None, 4)])
def test_number_of_steps_is_static_if_all_batches_are_equal(size, steps, last):
    data = TBPTTDataset(np.arange(size), 2, 5, reset_mask=False)
    assert data.element_spec[0].shape == (2, steps) and data.about.get("last T") == last


def test_user_provided_features_and_targets(rng):
    stream, targets = rng.normal(size=(12, 3)), np.arange(12)
    batches = read_batches(TBPTTDataset(stream, 2, 3, targets=targets, reset_mask=False))
    np.testing.assert_allclose(batches[1][0], [stream[3:6], stream[9:12]], rtol=1e-6)
    assert [batch[2].tolist() for batch in batches] == [[[0, 1, 2], [6, 7, 8]], [[3, 4, 5], [9, 10, 11]]]
    assert batches[0][1] is None and batches[0][0].dtype == "float32"
    next_step = read_batches(TBPTTDataset(stream, 1, 5))
    np.testing.assert_allclose(next_step[1][2][0], stream[6:11], rtol=1e-6)


def test_targets_in_a_list_of_numbers():
    batches = read_batches(TBPTTDataset(list(range(6)), 1, 3, targets=list(range(10, 16))))
    assert [batch[2].tolist() for batch in batches] == [[[10, 11, 12]], [[13, 14, 15]]]


def test_dataset_of_given_streams():
    streams = [np.arange(7), 10 + np.arange(7)]
    batches = read_batches(TBPTTDataset.from_streams(streams, 3))
    assert [batch[0].tolist() for batch in batches] == [[[0, 1, 2], [10, 11, 12]], [[3, 4, 5], [13, 14, 15]]]


def test_epochs_with_fixed_steps_continue_the_stream():
    data = TBPTTDataset(np.arange(7), 1, 2, steps=2)
    batches = [[batch[0].tolist() for batch in read_batches(data)] for _ in range(3)]
    assert len(data) == 2 and batches == [[[[0, 1]], [[2, 3]]], [[[4, 5]], [[0, 1]]], [[[2, 3]], [[4, 5]]]]


# === Random lengths ===


def test_random_lengths_cover_the_stream():
    data = TBPTTDataset(np.arange(40_001), 4, 70, random_bptt=True, seed=3)
    epochs = [data.lengths(epoch) for epoch in range(4)]
    for lengths in epochs:
        assert len(lengths) == len(data) and lengths.sum() == 10_000 and lengths.min() >= 5
    batches = read_batches(data)
    assert [batch[0].shape for batch in batches] == [(4, length) for length in epochs[0]]
    for row in range(4):
        x = np.concatenate([batch[0][row] for batch in batches])
        np.testing.assert_array_equal(x, np.arange(10_000 * row, 10_000 * (row + 1)))
    assert len({tuple(lengths) for lengths in epochs}) == 4
    again = TBPTTDataset(np.arange(40_001), 4, 70, random_bptt=True, seed=3)
    np.testing.assert_array_equal(again.lengths(2), epochs[2])


def test_random_lengths_are_distributed_as_published():
    """Compare with N(70, 5²), or with probability 0.05 N(35, 5²): the mean is 68.25, and 5% are below 52."""
    lengths = random_lengths(round(68.25 * 20_000), 20_000, 70, np.random.default_rng(0))
    full = lengths[lengths > 52]
    assert np.mean(lengths <= 52) == pytest.approx(0.05, abs=0.006)
    assert full.mean() == pytest.approx(70, abs=0.7) and full.std() == pytest.approx(5, abs=0.2)


@pytest.mark.parametrize(("total", "steps", "length"), [(7, 7, 70), (70, 1, 70), (11, 2, 8), (1000, 14, 70)])
def test_random_lengths_of_short_streams(total, steps, length):
    lengths = random_lengths(total, steps, length, np.random.default_rng(1))
    assert len(lengths) == steps and lengths.sum() == total and lengths.min() >= min(5, total // steps)


# === Position ===


@pytest.mark.parametrize(
    "kind", ["streams", "streams with a shorter batch", "random lengths", "windows", "windows in epochs of 3"]
)
def test_iteration_starts_at_the_position(kind):
    def dataset():
        if kind.startswith("windows"):
            return token_windows([np.arange(50)], 3, 4, seed=5, steps=3 if "epochs" in kind else None)
        size = 200 if "shorter" in kind else 193
        return TBPTTDataset(np.arange(size), 2, 12, random_bptt="random" in kind, seed=5, reset_mask=False)

    def read_epoch(data):
        return [batch[0].tolist() for batch in read_batches(data)]

    data, other = dataset(), dataset()
    epochs = [read_epoch(data) for _ in range(4)]
    for epoch, batch in ((2, 1), (0, 2), (3, 0)):
        other.set_position(epoch, batch)
        assert read_epoch(other) == epochs[epoch][batch:]
        if epoch < 3:
            assert read_epoch(other) == epochs[epoch + 1], "the following epoch is complete"
    assert other.about == data.about
    if not kind.startswith("streams"):
        assert epochs[0] != epochs[1]


@pytest.mark.parametrize(
    ("epoch", "batch", "message"),
    [
        (0, 4, r"batch must be in \[0, 4\), .* got epoch=0 and batch=4"),
        (0, -1, "batch must be a non-negative integer, got -1"),
        (-1, 0, "epoch must be a non-negative integer, got -1"),
        (0, 1.5, "batch must be a non-negative integer, got 1.5"),
    ],
)
def test_position_outside_an_epoch_is_rejected(epoch, batch, message):
    with pytest.raises(ValueError, match=message):
        token_windows([np.arange(50)], 3, 4).set_position(epoch, batch)


# === Invalid arguments ===


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TBPTTDataset(np.arange(9), 3, 3), r"batch_size=3 and bptt=3 require at least 10 steps, got 9"),
        (lambda: TBPTTDataset([np.arange(3)] * 4, 1, 3), r"in pieces of at least 4, got 12 in 4 pieces"),
        (lambda: TBPTTDataset(np.arange(99), 2, 50, random_bptt=True), "stream is too short"),
        (
            lambda: TBPTTDataset([np.arange(9), np.arange(0)], 1, 3),
            "stream must have no empty pieces, but piece 1 is empty; remove it",
        ),
        (lambda: TBPTTDataset([], 1, 3), "at least 1 piece, got an empty list"),
        (lambda: TBPTTDataset(np.zeros((2, 3, 4)), 1, 3), r"ids \(N,\) or features \(N, d\).* got shape \(2, 3, 4\)"),
        (lambda: TBPTTDataset(np.arange(9), 1, 3, num_symbols=5), "4 are not: the first is 5 at position 5 of piece 0"),
        (
            lambda: TBPTTDataset(np.arange(9), 1, 3, targets=np.arange(8)),
            r"one row per step of each piece of stream, \[9\], got \[8\]",
        ),
        (lambda: TBPTTDataset(np.arange(9), 0, 3), "batch_size must be a positive integer, got 0"),
        (lambda: TBPTTDataset(np.arange(9), 1, 2.5), "bptt must be a positive integer, got 2.5"),
        (
            lambda: TBPTTDataset.from_streams([np.arange(9), np.arange(8)], 3),
            "equal lengths, got 8 steps for stream 1 and 9 for stream 0; truncate them",
        ),
    ],
)
def test_invalid_arguments_are_rejected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# === Burn-in and the order of the pieces ===


def read_weights(data):
    """Return [(x, reset_mask, sample weights)] as arrays."""
    return [(x.numpy(), reset_mask.numpy(), weights.numpy()) for (x, reset_mask), _, weights in data]


@pytest.mark.parametrize(
    "stream", [np.arange(48), list(np.arange(48).reshape(4, 12)), [np.arange(21), np.arange(14), np.arange(13)]]
)
def test_steps_after_a_reset_have_no_weight(stream):
    """The reference counts the steps of each row since its last reset."""
    ages = np.zeros(2, int)
    batches = read_weights(TBPTTDataset(stream, 2, 5, burn_in=3))
    for x, reset_mask, weights in batches:
        ages[reset_mask] = 0
        np.testing.assert_array_equal(weights, ages[:, None] + np.arange(x.shape[1]) >= 3)
        ages += x.shape[1]
    if len(stream) != 3:
        assert batches[0][0].shape == (2, 8), "the first batch is longer by the burn-in"


@pytest.mark.parametrize("sizes", [(4, 4, 4, 4, 4), (3, 9, 5, 4)], ids=["equal", "unequal"])
def test_pieces_are_read_in_a_new_order_in_every_pass(sizes):
    firsts = np.cumsum([0, *sizes])[:-1]
    pieces = [first + np.arange(size) for first, size in zip(firsts, sizes, strict=True)]
    data = TBPTTDataset(pieces, 2, 2, targets=pieces, shuffle=True, seed=0)
    epochs = [read_batches(data) for _ in range(12)]
    assert len({len(epoch) for epoch in epochs}) == 1 and len({str([x for x, *_ in epoch]) for epoch in epochs}) > 3
    read = {int(step) for epoch in epochs for x, *_ in epoch for step in x.flat}
    assert read == {int(step) for piece in pieces for step in piece[: len(piece) // 2 * 2]}, "none is always dropped"
    for epoch in epochs:
        for (x, _, y), following in zip(epoch, [*epoch[1:], None], strict=True):
            np.testing.assert_array_equal(x, y)
            if following is not None:
                continued = ~following[1]
                np.testing.assert_array_equal(following[0][continued, 0], x[continued, -1] + 1)
    data.set_position(7, 1)
    np.testing.assert_array_equal(read_batches(data)[0][0], epochs[7][1][0])
    again = TBPTTDataset(pieces, 2, 2, targets=pieces, shuffle=True, seed=1)
    assert again.about != data.about


def test_orders_and_burn_ins_without_effect_are_refused():
    pieces = [np.arange(9), np.arange(9)]
    for options, message in (
        ({"stream": np.arange(9), "shuffle": True}, "shuffle=True requires several pieces .* got a single stream"),
        ({"stream": pieces, "shuffle": True, "random_bptt": True}, "got random_bptt=True, which reads the pieces as"),
        ({"stream": pieces, "burn_in": 8}, "burn_in must be less than the 8 steps of a stream or piece, got 8"),
    ):
        with pytest.raises(ValueError, match=message):
            TBPTTDataset(batch_size=1, bptt=2, **options)
