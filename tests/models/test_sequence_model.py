"""`SequenceModel`: training and predictions for sequences of any lengths, compared with Keras and NumPy."""

import keras
import numpy as np
import pytest

from deeprnn_keras import DeepRNN, SequenceModel
from deeprnn_keras.models import FrameNLL

pytestmark = pytest.mark.usefixtures("eager")

RNG = np.random.default_rng(0)
SERIES = [RNG.normal(size=(length, 2)).astype("float32") for length in (3, 7, 1, 5, 5, 2)]


def make_model(**options):
    keras.utils.set_random_seed(1)
    defaults = {"inputs": 2, "outputs": 3, "units": 4, "num_layers": 2, "cell": "gru"}
    model = SequenceModel(**{**defaults, **options})
    model.compile("adam", model.loss_function(), metrics=model.metric_functions())
    return model


def unpadded_outputs(model, sequence):
    """Return the outputs for one sequence, which is not padded."""
    inputs = [sequence[None], np.ones((1, len(sequence)), bool)] if model.masks else sequence[None]
    return keras.ops.convert_to_numpy(model(inputs))[0]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_does_not_change_predictions(bidirectional):
    model = make_model(masks=True, bidirectional=bidirectional)
    expected = [np.argmax(unpadded_outputs(model, sequence)) for sequence in SERIES]
    np.testing.assert_array_equal(model.predict_labels(SERIES, batch_size=4), expected)


def test_predictions_per_step():
    model = make_model(per_step=True)
    for prediction, sequence in zip(model.predict_labels(SERIES), SERIES, strict=True):
        np.testing.assert_array_equal(prediction, np.argmax(unpadded_outputs(model, sequence), -1))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_masks_with_one_output_per_step(bidirectional):
    """Outputs and loss are those of sequences without padding."""
    model = make_model(per_step=True, masks=True, bidirectional=bidirectional)
    series = [RNG.normal(size=(length, 2)).astype("float32") for length in (1, 2, 3, 5, 8, 11)]
    targets = [np.arange(len(sequence)) % 3 for sequence in series]
    losses = []
    for logits, x, y in zip(model._sequence_outputs(series, 64), series, targets, strict=True):
        expected = unpadded_outputs(model, x)
        np.testing.assert_allclose(logits, expected, atol=1e-5)
        losses += [float(loss) for loss in keras.losses.sparse_categorical_crossentropy(y, expected, from_logits=True)]
    data = model.dataset(series, targets, len(series), num_buckets=1, shuffle=False)
    assert model.evaluate(data, verbose=0)[0] == pytest.approx(np.mean(losses), rel=1e-5)
    assert np.isfinite(model.fit(data, shuffle=False, verbose=0).history["loss"][0])


def test_models_per_step_do_not_read_padding():
    model = make_model(per_step=True, bidirectional=True)
    assert len(model.predict_labels([SERIES[3], SERIES[4]])) == 2, "equal lengths need no padding"
    for use in (model.predict_labels, lambda series: model.dataset(series, [np.zeros(len(x), int) for x in series])):
        with pytest.raises(ValueError, match=r"equal lengths, got 1 to 7 steps; .* create the model with masks=True"):
            use(SERIES)


def test_classes_are_given_and_predicted_by_name():
    model = make_model(masks=True, labels=("low", "middle", "high"))
    assert set(model.predict_labels(SERIES)) <= {"low", "middle", "high"}
    batches = model.dataset(SERIES, ["low", "high", "low", "middle", "low", "high"], batch_size=6, shuffle=False)
    assert sorted(int(v) for _, y in batches for v in y) == [0, 0, 0, 1, 2, 2]
    with pytest.raises(ValueError, match="targets must be labels of the model, 'low', 'middle', 'high', got 'lowest'"):
        model.dataset(SERIES, ["lowest"] * 6)


def assert_probabilities(kind, found, outputs):
    """Compare the probabilities of each sequence with the softmax or the sigmoid of its outputs."""
    for probabilities, logits in zip(found, outputs, strict=True):
        expected = np.exp(logits) / np.exp(logits).sum() if kind == "classes" else 1 / (1 + np.exp(-logits))
        np.testing.assert_allclose(np.reshape(probabilities, expected.shape), expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["classes", "binary", "numbers", "notes"])
def test_each_kind_trains_and_predicts(kind):
    outputs = {"classes": 3, "binary": 1, "numbers": 2, "notes": 5}[kind]
    model = make_model(kind=kind, outputs=outputs, masks=kind != "notes")
    targets = {
        "classes": RNG.integers(3, size=6),
        "binary": RNG.integers(2, size=(6, 1)),
        "numbers": RNG.normal(size=(6, 2)),
        "notes": [RNG.integers(2, size=(len(sequence), 5)) for sequence in SERIES],
    }[kind]
    data = model.dataset(SERIES, targets, batch_size=3)
    before = [weight.copy() for weight in model.get_weights()]
    model.fit(data, epochs=1, shuffle=False, verbose=0)
    assert all(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))
    predictions = model.predict_labels(SERIES)
    assert len(predictions) == 6
    if kind in ("binary", "notes"):
        assert all(set(np.unique(prediction)) <= {0, 1} for prediction in predictions)
    if kind == "numbers":
        with pytest.raises(ValueError, match="predict_proba is not supported for kind='numbers'; use predict_labels"):
            model.predict_proba(SERIES)
    else:
        assert_probabilities(kind, model.predict_proba(SERIES), [unpadded_outputs(model, one) for one in SERIES])
    if kind == "notes":
        assert [prediction.shape for prediction in predictions] == [(len(sequence), 5) for sequence in SERIES]


def test_frame_nll_is_a_sum_over_notes_and_a_mean_over_unpadded_frames():
    y, logits = RNG.integers(2, size=(2, 4, 5)), RNG.normal(size=(2, 4, 5)).astype("float32")
    weights = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], "float32")
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    frames = -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(-1)
    assert float(FrameNLL()(y, logits, sample_weight=weights)) == pytest.approx((frames * weights).sum() / 6, rel=1e-6)
    assert np.isfinite(float(FrameNLL()(y, 1e4 * logits)))


def test_offset_and_scale_standardize_features():
    raw = [10 * sequence + 3 for sequence in SERIES]
    plain, scaled = make_model(per_step=True), make_model(per_step=True, offset=-3.0, scale=0.1)
    scaled.set_weights(plain.get_weights())
    for sequence, raw_sequence in zip(SERIES, raw, strict=True):
        expected = unpadded_outputs(plain, sequence)
        np.testing.assert_allclose(unpadded_outputs(scaled, raw_sequence), expected, atol=1e-5)
    per_feature = make_model(per_step=True, offset=[-3.0, -3.0], scale=[0.1, 0.1])
    per_feature.set_weights(plain.get_weights())
    np.testing.assert_allclose(unpadded_outputs(per_feature, raw[1]), unpadded_outputs(plain, SERIES[1]), atol=1e-5)


def test_ids_are_embedded():
    model = make_model(inputs=9, embedding=5, masks=True)
    ids = [RNG.integers(9, size=length) for length in (4, 2, 6)]
    assert model.get_layer("embedding").embeddings.shape == (9, 5)
    assert len(model.predict_labels(ids)) == 3


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([9]), r"series\[1\] must have ids in \[0, 9\), got 9 to 9"),
        (np.array([0.5]), r"series\[1\] must be integer ids of shape \(T,\), got float64 of shape \(1,\)"),
        (np.array([[1]]), r"series\[1\] must be integer ids of shape \(T,\), got int64 of shape \(1, 1\)"),
        (np.zeros(0, int), r"series must have at least 1 step each, but sequence 1 is empty"),
    ],
)
def test_invalid_ids_are_rejected(ids, message):
    model = make_model(inputs=9, embedding=5, masks=True)
    with pytest.raises(ValueError, match=message):
        model.predict_labels([np.array([1, 2]), ids])


def test_model_equals_a_functional_model():
    model = make_model(length=7)
    x = keras.Input((7, 2))
    functional = keras.Model(x, keras.layers.Dense(3)(DeepRNN(4, 2, "gru")(x)))
    functional.set_weights(model.get_weights())
    np.testing.assert_allclose(model(SERIES[1][None]), functional(SERIES[1][None]), atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"masks": True, "labels": ("a", "b", "c"), "offset": [1.0, 2.0]}], ids=str)
def test_saved_and_loaded_model(options, tmp_path):
    model = make_model(**options)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.labels == model.labels and loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded.predict_labels(SERIES[:1]), model.predict_labels(SERIES[:1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": 1}, "outputs must be at least 2 for kind='classes', got 1"),
        ({"kind": "binary", "outputs": 2}, "outputs must be 1 for kind='binary', got 2"),
        ({"kind": "class"}, "unknown kind 'class'; did you mean 'classes'"),
        ({"labels": ("a", "b")}, r"labels must be 3 distinct names, one per output, got \['a', 'b'\]"),
        ({"inputs": 0}, "inputs must be a positive integer"),
        ({"output_dropout": 1.0}, "output_dropout must be a number in"),
        ({"return_state": True}, "return_state=True is not supported by SequenceModel, whose head reads one output"),
        ({"return_all_layers": True, "per_step": True}, "return_all_layers=True is not supported by SequenceModel"),
        ({"go_backwards": True, "per_step": True}, "go_backwards=True is not .* in the reverse order of the targets"),
    ],
    ids=str,
)
def test_invalid_arguments_are_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        make_model(**options)


def test_invalid_series_and_targets_are_rejected():
    model = make_model(masks=True)
    with pytest.raises(ValueError, match=r"series\[1\] must have shape \(T, 2\), .* got shape \(4, 3\)"):
        model.predict_labels([SERIES[0], np.zeros((4, 3))])
    with pytest.raises(ValueError, match="series must contain at least 1 sequence, got none"):
        model.predict_labels([])
    with pytest.raises(ValueError, match="targets must be class indices"):
        model.dataset(SERIES, [0, 1, 2, 3, 0, 0])


def test_data_frames_are_accepted():
    class Frame:
        values = SERIES[0]

    model = make_model(masks=True)
    assert model.predict_labels([Frame()])[0] == model.predict_labels([SERIES[0]])[0]


def test_series_of_unequal_lengths_require_masks():
    model = SequenceModel(1, 2, 4, length=5)
    model.compile("adam", model.loss_function())
    series = [np.zeros((5, 1)), np.ones((5, 1))]
    model.fit(model.dataset(series, [0, 1]), shuffle=False, verbose=0)
    assert model.predict_labels(series).shape == (2,)
    with pytest.raises(ValueError, match=r"series must have equal lengths, got 4 to 5 steps; .* masks=True"):
        model.dataset([np.zeros((5, 1)), np.ones((4, 1))], [0, 1])
