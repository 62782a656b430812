"""`SequenceModel`: answers for sequences of any lengths, against Keras and NumPy."""

import keras
import numpy as np
import pytest

from deeprnn_keras import DeepRNN, SequenceModel
from deeprnn_keras.models import FrameNLL

pytestmark = pytest.mark.usefixtures("eager")

RNG = np.random.default_rng(0)
SERIES = [RNG.normal(size=(length, 2)).astype("float32") for length in (3, 7, 1, 5, 5, 2)]


def model(**options):
    keras.utils.set_random_seed(1)
    made = SequenceModel(
        **{"inputs": 2, "outputs": 3, "units": 4, "num_layers": 2, "cell": "gru", "implementation": "loop", **options}
    )
    made.compile("adam", made.loss_function(), metrics=made.metric_functions())
    return made


def logits(made, one):
    """Of one sequence, alone and without padding."""
    given = [one[None], np.ones((1, len(one)), bool)] if made.masks else one[None]
    return keras.ops.convert_to_numpy(made(given))[0]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_does_not_change_predictions(bidirectional):
    """Batches of unequal lengths give what each sequence gives alone, in their order."""
    made = model(masks=True, bidirectional=bidirectional)
    wanted = [np.argmax(logits(made, one)) for one in SERIES]
    np.testing.assert_array_equal(made.predict_labels(SERIES, batch_size=4), wanted)


def test_predictions_per_step():
    made = model(per_step=True)
    for answer, one in zip(made.predict_labels(SERIES), SERIES, strict=True):
        np.testing.assert_array_equal(answer, np.argmax(logits(made, one), -1))


def test_labels_have_names():
    made = model(masks=True, labels=("low", "middle", "high"))
    assert set(made.predict_labels(SERIES)) <= {"low", "middle", "high"}
    batches = made.dataset(SERIES, ["low", "high", "low", "middle", "low", "high"], batch_size=6, shuffle=False)
    assert sorted(int(v) for _, y in batches for v in y) == [0, 0, 0, 1, 2, 2]
    with pytest.raises(ValueError, match="unknown label 'lowest'; the model knows 'low', 'middle', 'high'"):
        made.dataset(SERIES, ["lowest"] * 6)


def assert_probabilities(kind, found, raw):
    """Each is the softmax or the sigmoid of what the head gives for the sequence alone."""
    for probabilities, values in zip(found, raw, strict=True):
        wanted = np.exp(values) / np.exp(values).sum() if kind == "classes" else 1 / (1 + np.exp(-values))
        np.testing.assert_allclose(np.reshape(probabilities, wanted.shape), wanted, rtol=1e-4)


@pytest.mark.parametrize("kind", ["classes", "binary", "numbers", "notes"])
def test_each_kind_trains_and_predicts(kind):
    outputs = {"classes": 3, "binary": 1, "numbers": 2, "notes": 5}[kind]
    made = model(kind=kind, outputs=outputs, masks=kind != "notes")
    answers = {
        "classes": RNG.integers(3, size=6),
        "binary": RNG.integers(2, size=(6, 1)),
        "numbers": RNG.normal(size=(6, 2)),
        "notes": [RNG.integers(2, size=(len(one), 5)) for one in SERIES],
    }[kind]
    data = made.dataset(SERIES, answers, batch_size=3)
    before = [w.copy() for w in made.get_weights()]
    made.fit(data, epochs=1, shuffle=False, verbose=0)
    assert all(np.any(a != b) for a, b in zip(before, made.get_weights(), strict=True))
    found = made.predict_labels(SERIES)
    assert len(found) == 6
    if kind in ("binary", "notes"):
        assert all(set(np.unique(one)) <= {0, 1} for one in found)
    if kind == "numbers":
        with pytest.raises(ValueError, match="predict_proba is not supported for kind='numbers'; use predict_labels"):
            made.predict_proba(SERIES)
    else:
        assert_probabilities(kind, made.predict_proba(SERIES), [logits(made, one) for one in SERIES])
    if kind == "notes":
        assert [one.shape for one in found] == [(len(one), 5) for one in SERIES]


def test_nats_per_frame_equal_numpy():
    """The sum over notes, the mean over real frames."""
    y, z = RNG.integers(2, size=(2, 4, 5)), RNG.normal(size=(2, 4, 5)).astype("float32")
    weights = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], "float32")
    p = 1 / (1 + np.exp(-z.astype("float64")))
    frames = -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(-1)
    assert float(FrameNLL()(y, z, sample_weight=weights)) == pytest.approx((frames * weights).sum() / 6, rel=1e-6)
    assert np.isfinite(float(FrameNLL()(y, 1e4 * z)))


def test_raw_features_are_scaled():
    raw = [10 * one + 3 for one in SERIES]
    plain, scaled = model(per_step=True), model(per_step=True, offset=-3.0, scale=0.1)
    scaled.set_weights(plain.get_weights())
    for one, big in zip(SERIES, raw, strict=True):
        np.testing.assert_allclose(logits(scaled, big), logits(plain, one), atol=1e-5)
    each = model(per_step=True, offset=[-3.0, -3.0], scale=[0.1, 0.1])
    each.set_weights(plain.get_weights())
    np.testing.assert_allclose(logits(each, raw[1]), logits(plain, SERIES[1]), atol=1e-5)


def test_ids_are_embedded():
    made = model(inputs=9, embedding=5, masks=True)
    words = [RNG.integers(9, size=length) for length in (4, 2, 6)]
    assert made.get_layer("embedding").embeddings.shape == (9, 5)
    assert len(made.predict_labels(words)) == 3
    with pytest.raises(ValueError, match="sequence 1 must have ids of at least 0 and below 9"):
        made.predict_labels([words[0], np.array([9])])


def test_model_equals_one_written_by_hand():
    made = model(length=7)
    x = keras.Input((7, 2))
    by_hand = keras.Model(x, keras.layers.Dense(3)(DeepRNN(4, 2, "gru")(x)))
    by_hand.set_weights(made.get_weights())
    np.testing.assert_allclose(made(SERIES[1][None]), by_hand(SERIES[1][None]), atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"masks": True, "labels": ("a", "b", "c"), "offset": [1.0, 2.0]}], ids=str)
def test_saved_and_loaded_model(options, tmp_path):
    made = model(**options)
    made.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.labels == made.labels and again.get_config() == made.get_config()
    np.testing.assert_array_equal(again.predict_labels(SERIES[:1]), made.predict_labels(SERIES[:1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": 1}, "outputs must be at least 2 for this kind, got 1"),
        ({"kind": "binary", "outputs": 2}, "outputs must be 1 for this kind, got 2"),
        ({"kind": "class"}, "unknown kind 'class'; did you mean 'classes'"),
        ({"labels": ("a", "b")}, "labels must name 3 different classes"),
        ({"masks": True, "per_step": True}, "masks=True is for one answer per sequence"),
        ({"inputs": 0}, "inputs must be a positive integer"),
        ({"output_dropout": 1.0}, "output_dropout must be a rate"),
    ],
    ids=str,
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        model(**options)


def test_bad_series():
    made = model(masks=True)
    with pytest.raises(ValueError, match=r"sequence 1 has shape \(4, 3\); the model reads \(T, 2\): 2 channels a step"):
        made.predict_labels([SERIES[0], np.zeros((4, 3))])
    with pytest.raises(ValueError, match="there is no sequence"):
        made.predict_labels([])
    with pytest.raises(ValueError, match="target"):
        made.dataset(SERIES, [0, 1, 2, 3, 0, 0])


def test_data_frames_are_accepted():
    class Frame:
        values = SERIES[0]

    made = model(masks=True)
    assert made.predict_labels([Frame()])[0] == made.predict_labels([SERIES[0]])[0]


def test_series_of_unequal_lengths_need_masks():
    model = SequenceModel(1, 2, 4, length=5, implementation="loop")
    model.compile("adam", model.loss_function())
    series = [np.zeros((5, 1)), np.ones((5, 1))]
    model.fit(model.dataset(series, [0, 1]), shuffle=False, verbose=0)
    assert model.predict_labels(series).shape == (2,)
    with pytest.raises(ValueError, match=r"sequences have 4 to 5 steps; .* masks=True, or all of one length"):
        model.dataset([np.zeros((5, 1)), np.ones((4, 1))], [0, 1])
