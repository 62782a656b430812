"""CTC: loss and decoding against all alignments, error rates against a table, and padding without effect."""

import functools
import itertools

import keras
import numpy as np
import pytest
from refusals import outcome

from deeprnn_keras import SequenceModel
from deeprnn_keras.models import LabelErrorRate, decode_ctc, label_error_rate
from deeprnn_keras.models.ctc import edit_distance

pytestmark = pytest.mark.usefixtures("eager")


def collapse(path):
    """Return the labels of an alignment: without repetitions, then without blanks."""
    return tuple(label for label, _ in itertools.groupby(path) if label)


def labelings(logits):
    """Return {labels: probability}, summed over all alignments of logits (T, q)."""
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p, total = p / p.sum(-1, keepdims=True), {}
    for path in itertools.product(range(p.shape[1]), repeat=len(p)):
        labels = collapse(path)
        total[labels] = total.get(labels, 0.0) + np.prod(p[np.arange(len(p)), path])
    return total


def levenshtein(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j - 1] + (x != y), above[j] + 1, row[-1] + 1))
    return row[-1]


@pytest.mark.parametrize(("steps", "labels"), [(1, [2]), (4, [1, 1]), (5, [1, 2, 1])])
def test_loss_is_the_likelihood_of_all_alignments(steps, labels, rng):
    logits = rng.normal(size=(steps, 3)).astype("float32")
    loss = float(SequenceModel(2, 3, 2, kind="ctc").loss_function()(np.array([labels]), logits[None]))
    assert loss == pytest.approx(-np.log(labelings(logits)[tuple(labels)]), rel=1e-5)


def test_decoding_finds_the_best_path_and_the_best_labels():
    rng, differ = np.random.default_rng(0), 0
    for _ in range(20):
        logits = rng.normal(size=(1, 4, 3)).astype("float32")
        (greedy,), (beam,) = decode_ctc(logits), decode_ctc(logits, beam_width=100)
        probabilities = labelings(logits[0])
        assert tuple(greedy) == collapse(logits[0].argmax(-1))
        assert tuple(beam) == max(probabilities, key=probabilities.get)
        differ += tuple(greedy) != tuple(beam)
    assert differ  # otherwise the test could not tell the strategies apart


def test_error_rate_counts_insertions_deletions_and_substitutions(rng):
    targets = [rng.integers(1, 4, size=size) for size in rng.integers(1, 7, size=20)]
    labels = [rng.integers(1, 4, size=size) for size in rng.integers(0, 9, size=20)]
    distances = [levenshtein(*pair) for pair in zip(targets, labels, strict=True)]
    assert label_error_rate(targets, labels) == sum(distances) / sum(map(len, targets))
    assert label_error_rate([[3]], [[]]) == 1 and label_error_rate([[1]], [[1, 2, 2]]) == 2
    assert edit_distance(np.array([[1, 0]]), np.array([[-1]])).numpy().tolist() == [1]


def test_metric_is_exact_over_batches():
    metric, eye = LabelErrorRate(), 9 * np.eye(4, dtype="float32")
    for targets, path in (([[1, 2, 0]], [[1, 1, 0, 3]]), ([[3], [2]], [[3, 3], [0, 0]])):
        metric.update_state(np.array(targets), eye[np.array(path)])
    assert float(metric.result()) == 2 / 4
    copy = LabelErrorRate.from_config(metric.get_config())
    assert np.isnan(float(copy.result())) and copy.name == "label_error_rate"


SERIES = [np.random.default_rng(1).normal(size=(steps, 2)).astype("float32") for steps in (4, 3, 6)]
LABELS = [[1, 2], [3], [1, 1, 2]]


def ctc_model(**options):
    keras.utils.set_random_seed(0)
    return SequenceModel(2, 4, **{"units": 5, "num_layers": 2, "kind": "ctc", "implementation": "loop", **options})


def test_padding_changes_neither_loss_nor_gradient_nor_labels():
    import tensorflow as tf

    model = ctc_model(masks=True, bidirectional=True)
    loss = model.loss_function()

    def gradients(batches):
        with tf.GradientTape() as tape:
            value = sum(loss(y, model(x)) * len(y) for x, y in batches) / len(SERIES)
        return float(value), [np.asarray(one) for one in tape.gradient(value, model.trainable_weights)]

    padded = gradients([next(iter(model.dataset(SERIES, LABELS, 3, num_buckets=1)))])
    single = gradients(
        [((x[None], np.ones((1, len(x)), bool)), np.array([y])) for x, y in zip(SERIES, LABELS, strict=True)]
    )
    assert padded[0] == pytest.approx(single[0], rel=1e-5)
    for actual, expected in zip(padded[1], single[1], strict=True):
        np.testing.assert_allclose(actual, expected, atol=2e-5)
    whole, alone = model.predict_labels(SERIES), [model.predict_labels([one])[0] for one in SERIES]
    for actual, expected in zip(whole, alone, strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.slow
def test_model_learns_its_labels_by_name_in_half_precision(tmp_path):
    model = ctc_model(masks=True, labels=("-", "a", "b", "c"), dtype="mixed_float16", cell="rnn", num_layers=1)
    model.compile(keras.optimizers.Adam(0.1), model.loss_function(), metrics=model.metric_functions())
    series, names = [one[:4] for one in SERIES], [["a", "b"], ["c"], ["a", "b"]]
    history = model.fit(model.dataset(series, names, 3, num_buckets=1), epochs=15, verbose=0, shuffle=False).history
    assert history["loss"][-1] < 0.5 * history["loss"][0] and history["label_error_rate"][-1] < 0.5
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for width in (None, 5):
        labels = [list(one) for one in model.predict_labels(series, beam_width=width)]
        assert labels == [list(one) for one in loaded.predict_labels(series, beam_width=width)]
        assert {label for one in labels for label in one} <= {"a", "b", "c"}


def test_unsuitable_targets_and_options_are_refused():
    model, fixed = ctc_model(masks=True), ctc_model()
    cases = {
        r"series\[1\] has 3 steps, but CTC requires 5 for its 3 labels": lambda: model.dataset(
            SERIES, [[1], [2] * 3, [1]]
        ),
        r"targets\[0\] must be an array \(S,\) of at least 1 label, integers from 1 to 3": lambda: model.dataset(
            SERIES, [[0], [1], [1]]
        ),
        r"targets\[2\] must be an array": lambda: model.dataset(SERIES, [[1], [1], []]),
        "targets must have one array of labels per sequence, got 2 for 3": lambda: model.dataset(SERIES, [[1], [1]]),
        "for kind='ctc' and sequences of any length, create the model with masks=True": lambda: fixed.dataset(
            SERIES, LABELS
        ),
        "beam_width must be a positive integer": functools.partial(model.predict_labels, SERIES, beam_width=0),
        "beam_width is supported for kind='ctc' only": lambda: SequenceModel(2, 3, 2).predict_labels(
            SERIES, beam_width=2
        ),
        "outputs must be at least 2": lambda: SequenceModel(2, 1, 2, kind="ctc"),
        "class_weight is not supported": lambda: model.class_weights({1: 2.0}),
        "targets and labels must be equally many": lambda: label_error_rate([[1]], []),
    }
    wrong = [found for message, call in cases.items() if (found := outcome(call, message))]
    assert not wrong, wrong
