"""`BucketedDataset`: contents of the batches, weights in the loss and metrics, and rejected arguments."""

import math

import keras
import numpy as np
import pytest

from deeprnn_keras import DeepRNN
from deeprnn_keras.data.bucket_plan import bucket_boundaries
from deeprnn_keras.data.buckets import BucketedDataset
from deeprnn_keras.training.metrics import BitsPerCharacter, Perplexity

pytestmark = pytest.mark.usefixtures("eager")

V = 7
WITH_MASKS = ("masks", "bidirectional")  # kinds of models that read the mask as a second input
LENGTHS = [3, 1, 9, 4, 4, 12, 2, 7, 5, 1, 12, 6, 3, 8, 10]
IDS = [10 * k + np.arange(length) + 1 for k, length in enumerate(LENGTHS)]  # every step has a different id
NUMBERS = np.arange(len(IDS))


def read_batches(data):
    """Return [(x, y, weights or None)] as arrays; x may be (x, mask)."""
    batches = []
    for x, y, *weights in data:
        x = tuple(part.numpy() for part in x) if isinstance(x, tuple) else x.numpy()
        batches.append((x, y.numpy(), weights[0].numpy() if weights else None))
    return batches


# === Batches ===


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("features", [False, True], ids=["ids", "features"])
@pytest.mark.parametrize(("n", "num_buckets"), [(1, 3), (4, 1), (4, 3), (2, 8), (99, 2), (3, 50)])
def test_every_sequence_occurs_once_padded_on_the_right(n, num_buckets, features, shuffle):
    sequences = [np.stack([ids, ids / 2], -1) for ids in IDS] if features else IDS
    options = {"num_buckets": num_buckets, "padding": -1, "masks": True, "shuffle": shuffle, "seed": 4}
    data = BucketedDataset(sequences, NUMBERS, n, **options)
    for _ in range(2):
        batches, seen = read_batches(data), []
        assert len(batches) == len(data)
        for (x, mask), y, weights in batches:
            assert weights is None and mask.dtype == bool and 1 <= len(y) <= n and len(set(y)) == len(y)
            longest = next(length for length in data.padded_lengths if length >= max(LENGTHS[k] for k in y))
            assert x.shape[:2] == mask.shape == (len(y), longest)
            for row, real, number in zip(x, mask, y, strict=True):
                assert real.tolist() == [t < LENGTHS[number] for t in range(longest)]
                np.testing.assert_array_equal(row[: LENGTHS[number]], sequences[number])
                assert (row[LENGTHS[number] :] == -1).all()
            seen += y.tolist()
        assert sorted(seen) == NUMBERS.tolist()
        assert len({mask.shape[1] for (_, mask), _, _ in batches}) == len(data.padded_lengths) <= num_buckets


def test_buckets_contain_similar_lengths():
    data = BucketedDataset(IDS, NUMBERS, 4, boundaries=[2, 5, 6, 20], shuffle=False)
    assert [y.tolist() for _, y, _ in read_batches(data)] == [
        [1, 6, 9],
        [0, 3, 4, 8],
        [12],
        [11],
        [2, 5, 7, 10],
        [13, 14],
    ]
    assert data.padded_lengths == [2, 5, 6, 12]
    assert BucketedDataset(IDS[:1], [0], 4, boundaries=[2, 5, 6]).padded_lengths == [3]


@pytest.mark.parametrize("count", [1, 2, 5, 15, 40])
def test_boundaries_are_quantiles(count):
    expected = {sorted(LENGTHS)[math.ceil(len(LENGTHS) * k / count) - 1] for k in range(1, count + 1)}
    assert bucket_boundaries(np.array(LENGTHS), count).tolist() == sorted(expected)


@pytest.mark.parametrize("form", ["none", "per step", "per sequence"])
def test_targets_per_step_and_their_weights(form):
    targets, step_weights = [ids % V for ids in IDS], [np.linspace(0, 1, length + 1)[1:] for length in LENGTHS]
    weights = {"none": None, "per step": step_weights, "per sequence": NUMBERS / 2 + 1}[form]
    expected = step_weights if form == "per step" else [np.ones(length) for length in LENGTHS]
    if form == "per sequence":
        expected = [np.full(length, weight) for length, weight in zip(LENGTHS, weights, strict=True)]
    for x, y, w in read_batches(BucketedDataset(IDS, targets, 4, num_buckets=3, weights=weights, num_classes=V)):
        assert x.dtype == y.dtype == "int32" and w.dtype == "float32" and x.shape == y.shape == w.shape
        for rows in zip(x, y, w, strict=True):
            number = next(k for k, ids in enumerate(IDS) if ids[0] == rows[0][0])
            for row, unpadded in zip(rows, (IDS, targets, expected), strict=True):
                np.testing.assert_allclose(row, [*unpadded[number], *[0] * (len(row) - LENGTHS[number])], rtol=1e-6)


def test_targets_with_several_columns(rng):
    vectors = [rng.normal(size=(length, 3)) for length in LENGTHS]
    for x, y, weights in read_batches(BucketedDataset(vectors, vectors, 4, num_buckets=3)):
        np.testing.assert_array_equal(x, y)
        assert y.dtype == "float32" and ((x != 0).all(-1) == weights).all()
    ((x, y, weights),) = read_batches(
        BucketedDataset(IDS[:2], np.eye(2), 2, num_buckets=1, weights=[2, 0.5], shuffle=False)
    )
    assert y.tolist() == [[1, 0], [0, 1]] and weights.tolist() == [2, 0.5] and x.tolist() == [[1, 2, 3], [11, 0, 0]]


# === Order ===


@pytest.mark.parametrize("steps", [None, 4])
def test_order_depends_on_seed_and_epoch(steps):
    def dataset(seed=5):
        return BucketedDataset(IDS, NUMBERS, 2, num_buckets=3, seed=seed, steps=steps)

    def read_epoch(data):
        return [y.tolist() for _, y, _ in read_batches(data)]

    data, other = dataset(), dataset()
    epochs = [read_epoch(data) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2] and {len(epoch) for epoch in epochs} == {len(data)}
    assert read_epoch(dataset(6)) != epochs[0]
    assert [[rows.tolist() for rows, _ in data.epoch_plan(epoch)] for epoch in range(3)] == epochs
    for epoch, batch in ((2, 1), (0, 2), (1, 3)):
        other.set_position(epoch, batch)
        assert read_epoch(other) == epochs[epoch][batch:]
    assert other.about == data.about != dataset(6).about
    lengths = [[max(LENGTHS[k] for k in rows) for rows in epoch] for epoch in epochs]
    assert any(epoch != sorted(epoch) for epoch in lengths), "batches of all buckets are mixed"


def test_description_identifies_the_data():
    def about(sequences=IDS, targets=NUMBERS, n=2, **options):
        return BucketedDataset(sequences, targets, n, seed=1, **options).about

    others = [{"n": 3}, {"weights": NUMBERS + 1}, {"padding": -1}, {"masks": True}, {"num_buckets": 2}]
    others += [{"targets": NUMBERS[::-1]}, {"sequences": [*IDS[1:], IDS[0]]}]
    # the same steps, divided into sequences of other lengths
    others += [{"sequences": np.split(np.concatenate(IDS), [2, *np.cumsum(LENGTHS)[1:-1]])}]
    assert all(about(**options) != about() for options in others) and about() == about()


# === In a model ===


def nats_of(targets, logits):
    """Return -log softmax(logits)[target], in double precision."""
    logits = np.asarray(logits, "float64")
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -np.take_along_axis(logs, np.asarray(targets)[..., None], -1)[..., 0]


def tagger(kind, rate):
    """Return a model with one output per step, compiled as documented; `kind` is the way it recognizes padding."""
    x, mask = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="bool")
    embedded = keras.layers.Embedding(V, 4, mask_zero=kind == "mask_zero")(x)
    layer = DeepRNN(5, cell="rnn", return_sequences=True, bidirectional=kind == "bidirectional", implementation="loop")
    hidden = layer(embedded, mask=mask) if kind in WITH_MASKS else layer(embedded)
    model = keras.Model([x, mask] if kind in WITH_MASKS else x, keras.layers.Dense(V)(hidden))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    model.compile(keras.optimizers.SGD(rate), loss, weighted_metrics=[Perplexity(), BitsPerCharacter()])
    return model


def unpadded_outputs(model, kind, sequence):
    """Return the outputs for one sequence without padding."""
    mask = np.ones((1, len(sequence)), bool)
    return np.asarray(model((sequence[None], mask) if kind in WITH_MASKS else sequence[None]))[0]


@pytest.mark.parametrize(
    ("kind", "weighted"),
    [
        ("none", True),
        ("masks", False),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("none", False), ("mask_zero", True), ("bidirectional", True))
        ),
    ],
)
def test_loss_and_metrics_count_real_steps_only(rng, kind, weighted):
    sequences = [rng.integers(1, V, size=length) for length in LENGTHS]
    targets = [rng.integers(V, size=length) for length in LENGTHS]
    weights = [rng.uniform(0, 2, size=length) if weighted else np.ones(length) for length in LENGTHS]
    options = {"masks": kind in WITH_MASKS, "weights": weights if weighted else None, "num_classes": V, "seed": 2}
    data = BucketedDataset(sequences, targets, 4, num_buckets=3, **options)
    model = tagger(kind, 0.0)
    nats = [nats_of(y, unpadded_outputs(model, kind, x)) for x, y in zip(sequences, targets, strict=True)]

    def mean_of(rows):
        return np.average(np.concatenate([nats[k] for k in rows]), weights=np.concatenate([weights[k] for k in rows]))

    logs = [{name: values[0] for name, values in model.fit(data, shuffle=False, verbose=0).history.items()}]
    logs.append(model.evaluate(data, verbose=0, return_dict=True))
    for epoch, values in enumerate(logs):
        rows = [rows for rows, _ in data.epoch_plan(epoch)]
        batch_mean = np.average([mean_of(batch) for batch in rows], weights=[len(batch) for batch in rows])
        assert values["loss"] == pytest.approx(batch_mean, rel=1e-5)  # Keras weights batches by their number of rows
        assert values["perplexity"] == pytest.approx(math.exp(mean_of(NUMBERS)), rel=1e-5)
        assert values["bits_per_character"] == pytest.approx(mean_of(NUMBERS) / math.log(2), rel=1e-5)
    assert logs[0]["loss"] != pytest.approx(mean_of(NUMBERS), rel=1e-5)


def test_gradient_is_that_of_the_mean_over_real_steps(rng):
    sequences = [rng.integers(V, size=length) for length in (2, 9, 4)]
    model = tagger("none", 1.0)
    before = model.get_weights()

    def updates(data):
        """Return the changes of the weights in one epoch: with a learning rate of 1, the gradients."""
        model.set_weights(before)
        model.fit(data, shuffle=False, verbose=0)
        return [start - weight for start, weight in zip(before, model.get_weights(), strict=True)]

    in_one_batch = updates(BucketedDataset(sequences, sequences, 3, num_buckets=1))
    separate = [updates(BucketedDataset([ids], [ids], 1)) for ids in sequences]
    for actual, *parts in zip(in_one_batch, *separate, strict=True):
        np.testing.assert_allclose(actual, np.average(parts, axis=0, weights=[2, 9, 4]), atol=1e-6)


def test_keras_reductions_divide_as_documented(rng):
    """Check the statements about Keras in the docstring of `BucketedDataset`."""
    y, logits = rng.integers(V, size=(3, 5)), rng.normal(size=(3, 5, V)).astype("float32")
    real = (np.arange(5) < np.array([[5], [2], [1]])).astype("float32")
    sums = {T: (nats_of(y, logits) * real)[:, :T].sum() for T in (5, 2)}
    for reduction, divisor in (("sum_over_batch_size", 15), ("mean_with_sample_weight", 8)):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
        assert float(loss(y, logits, real)) == pytest.approx(sums[5] / divisor, rel=1e-5)
    metric = keras.metrics.SparseCategoricalCrossentropy(from_logits=True)
    for T in (5, 2):
        metric.update_state(y[:, :T], logits[:, :T], real[:, :T])
    assert float(metric.result()) == pytest.approx((sums[5] / 5 + sums[2] / 2) / (8 / 5 + 5 / 2), rel=1e-5)
    assert float(metric.result()) != pytest.approx((sums[5] + sums[2]) / 13, rel=1e-3)


@pytest.mark.parametrize("kind", ["mask_zero", "masks", "masking"])
def test_classification_equals_unpadded_sequences(rng, kind):
    width, kinds = ((2,), "float32") if kind == "masking" else ((), "int32")
    sequences = [rng.integers(1, V, size=(length, *width)).astype(kinds) for length in LENGTHS]
    x, mask = keras.Input((None, *width), dtype=kinds), keras.Input((None,), dtype="bool")
    first = keras.layers.Masking(-3.5) if kind == "masking" else keras.layers.Embedding(V, 3, mask_zero=kind != "masks")
    hidden = DeepRNN(5, cell="rnn", implementation="loop")(first(x), **({"mask": mask} if kind in WITH_MASKS else {}))
    model = keras.Model([x, mask] if kind in WITH_MASKS else x, keras.layers.Dense(3)(hidden))
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    options = {"padding": -3.5 if kind == "masking" else 0, "masks": kind in WITH_MASKS, "num_classes": 3, "seed": 1}
    data = BucketedDataset(sequences, NUMBERS % 3, 4, num_buckets=3, **options)
    outputs, order = model.predict(data, verbose=0), np.concatenate([rows for rows, _ in data.epoch_plan(0)])
    expected = np.stack([unpadded_outputs(model, kind, sequences[k]) for k in order])
    np.testing.assert_allclose(outputs, expected, atol=2e-6)
    assert model.evaluate(data, verbose=0) == pytest.approx(nats_of(order % 3, expected).mean(), rel=1e-5)


def test_padding_value_in_data_is_allowed_without_a_derived_mask():
    sequences = [np.array([0, 1]), np.array([2])]
    BucketedDataset(sequences, sequences, 1, num_classes=3)
    BucketedDataset(sequences, [0, 1], 1, masks=True)
    BucketedDataset(sequences, [0, 1], 1, padding=3)
    BucketedDataset([np.array([[0.0, 1.0]])], [0], 1)  # only one of the features equals the padding


# === Invalid arguments ===


def dataset(sequences=IDS[:3], targets=(0, 1, 2), batch_size=2, **options):
    return BucketedDataset(list(sequences), targets, batch_size, **options)


STEPS = [np.zeros(length) for length in LENGTHS[:3]]
NEGATIVE = np.where(np.arange(9) > 6, -1.0, 0.0)
X = [np.ones((2, 3)), np.ones((4, 3))]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dataset([], []), "at least 1 sequence, got none"),
        (
            lambda: dataset([IDS[0], [], IDS[1]]),
            r"sequences\[1\] must have at least 1 step, got an empty sequence; remove it",
        ),
        (lambda: dataset([*X, np.ones((2, 2))]), r"shape \(2, 2\) for sequences\[2\] and \(2, 3\) for sequences\[0\]"),
        (lambda: dataset([np.ones((2, 0))], [0]), r"d at least 1 .* got shape \(2, 0\) for sequences\[0\]$"),
        (lambda: dataset(np.arange(3)), r"got shape \(\) for sequences\[0\]"),
        (lambda: dataset([IDS[0], ["a"], IDS[1]]), r"sequences\[1\] must be an array of numbers, got \"\['a'\]\""),
        (
            lambda: dataset([[[1, 2], [3]], IDS[0], IDS[1]]),
            r"\[0\] must be an array of numbers, got '\[\[1, 2\], \[3\]\]'",
        ),
        (lambda: dataset([X[0], X[1] * [1, np.nan, 1]], [0, 1]), "4 are not: the first is nan at sequence 1, step 0"),
        (
            lambda: dataset([np.array([1, 2**40])], [0]),
            "range of int32, but 1 are not: .*1099511627776 at sequence 0, st",
        ),
        (lambda: dataset([np.array([1, 1e40])], [0]), r"range of float32, but 1 are not: the first is 1e\+40"),
        (lambda: dataset(targets=[0, 1]), r"targets must have one entry per sequence \(3\), got 2"),
        (lambda: dataset(targets=None), r"targets must have one entry per sequence \(3\), got 0"),
        (lambda: dataset(targets=np.zeros((3, 9, 2))), r"or a list of arrays .*, got an array of shape \(3, 9, 2\)"),
        (lambda: dataset(targets=[*STEPS[:2], STEPS[0]]), r"got shape \(3,\) for sequence 2 of 9 steps"),
        (
            lambda: dataset(targets=[STEPS[0][:, None], *STEPS[1:]]),
            r"\(1,\) for sequence 1 of 1 steps and \(3, 1\) for",
        ),
        (lambda: dataset(targets=[0, 1.0, np.inf]), "targets must be finite .*: the first is inf at sequence 2"),
        (
            lambda: dataset(targets=[0, 3, 1], num_classes=3),
            r"indices in \[0, num_classes=3\), .* first is 3 at sequence 1",
        ),
        (lambda: dataset(targets=[0, 2**32, 1], num_classes=3), "int32, .* first is 4294967296 at sequence 1"),
        (lambda: dataset(targets=[0, 0.5, 1], num_classes=3), "class indices .* the first is 0.5 at sequence 1"),
        (
            lambda: dataset(targets=[*STEPS[:2], NEGATIVE], num_classes=3),
            "2 are not: the first is -1.0 at sequence 2, step 7",
        ),
        (
            lambda: dataset(boundaries=[3, 3, 9]),
            r"boundaries must be a .*increasing positive integers, got \[3, 3, 9\]",
        ),
        (lambda: dataset(boundaries=[]), r"boundaries must be a non-empty list .* got \[\]"),
        (lambda: dataset(boundaries=[2.5]), r"boundaries\[0\] must be a positive integer, got 2.5"),
        (lambda: dataset(boundaries=[3, 8]), "got 8 as the last boundary, but sequence 2 has 9 steps"),
        (
            lambda: dataset(weights=[1, 0, 1]),
            "weights must not all be 0 .* got only 0 for sequence 1; remove the sequence",
        ),
        (lambda: dataset(targets=STEPS, weights=[1, 1, 0]), "got only 0 for sequence 2"),
        (lambda: dataset(targets=STEPS, weights=STEPS), "got only 0 for sequence 0"),
        (lambda: dataset(weights=STEPS), "one number per sequence, .* targets per sequence, got numbers per step"),
        (lambda: dataset(weights=np.ones((3, 2))), r"one number per sequence, \(n,\), .* got shape \(3, 2\)"),
        (
            lambda: dataset(weights=[1, -1, 1]),
            "weights must be at least 0, but 1 are not: the first is -1 at sequence 1",
        ),
        (lambda: dataset(weights=[1, np.nan, 1]), "weights must be finite .* nan at sequence 1"),
        (lambda: dataset(padding=0.5), "padding must be an integer for sequences of integers, got 0.5"),
        (lambda: dataset(padding=np.nan), "padding must be a number in the range of int32, got nan"),
        (lambda: dataset([[1], [2, 3], [3]], padding=3), "padding=3, which equals sequence 1, step 1 "),
        (
            lambda: dataset([X[0], X[1] * 0], [0, 1]),
            r"padding=0.0, which equals sequence 1, step 0 \(4 steps in total\)",
        ),
    ],
)
def test_invalid_arguments_are_rejected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", ["batch_size", "num_buckets", "num_classes", "steps"])
def test_sizes_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name} must be a positive integer, got 0"):
        dataset(**{name: 0})
