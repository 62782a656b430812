"""Arrays, ids, labels, masks, and weights that are not supported are rejected; the message names the argument."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras import (
    GRU,
    LSTM,
    ArrayDataset,
    DeepRNN,
    LanguageModel,
    SequenceModel,
    SimpleRNN,
    TBPTTDataset,
    series_windows,
    token_windows,
    zoo,
)
from deeprnn_keras.data import BucketedDataset, ByteVocabulary, Vocabulary, WordVocabulary, write_midi
from deeprnn_keras.generation import generate_notes, score
from deeprnn_keras.layers import OneHot

X = np.random.default_rng(0).normal(size=(8, 6, 3)).astype("float32")
BATCH = np.ones((2, 3, 4), "float32")

# === Arrays ===

NOT_REAL_NUMBERS = {
    "complex": np.ones((8, 3)) * 1j,
    "dates": np.zeros((8, 3), "datetime64[s]"),
    "text": np.full((8, 3), "a"),
    "objects": np.full((8, 3), None),
}
NOT_FLOAT32 = {"NaN": np.full((8, 3), np.nan), "inf": np.full((8, 3), np.inf), "1e300": np.full((8, 3), 1e300)}
NOT_INT32 = {"2**33": np.full((8, 3), 2**33), "uint64": np.full((8, 3), 2**63, "uint64")}
ARRAYS = {**NOT_REAL_NUMBERS, **NOT_FLOAT32, **NOT_INT32}
TAKE_NUMBERS = {
    "TBPTTDataset-stream": lambda a: TBPTTDataset(a, 2, 3),
    "TBPTTDataset-targets": lambda a: TBPTTDataset(np.zeros(8), 2, 3, targets=a),
    "BucketedDataset-sequences": lambda a: BucketedDataset([a], [0], 1),
    "BucketedDataset-targets": lambda a: BucketedDataset([X[0]] * 8, a, 1),
}


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("case", TAKE_NUMBERS)
def test_numbers_are_real_and_fit_the_dtype_of_models(case, array):
    with pytest.raises(ValueError, match=rf"{case.split('-')[1]}\S* must be "):
        TAKE_NUMBERS[case](ARRAYS[array])


@pytest.mark.parametrize("array", NOT_REAL_NUMBERS)
@pytest.mark.parametrize("argument", ["roll", "start", "offset", "x"])
def test_complex_numbers_and_dates_are_not_cast(argument, array):
    take = {
        "roll": lambda a: write_midi(a, "unused"),
        "start": lambda a: generate_notes(None, a, 2),
        "offset": lambda a: SequenceModel(3, 2, 2, offset=a),
        "x": lambda a: ArrayDataset(a, np.zeros(8)),
    }
    if (argument, array) == ("x", "text"):
        return  # text is supported, for layers that read it
    with pytest.raises(ValueError, match=f"{argument} must (be an array of numbers|hold real numbers or text), got "):
        take[argument](NOT_REAL_NUMBERS[array])


@pytest.mark.parametrize("array", [*NOT_REAL_NUMBERS, *NOT_FLOAT32])
def test_series_are_real_and_in_the_range_of_float32(array):
    with pytest.raises((TypeError, ValueError), match="values must "):
        series_windows(ARRAYS[array], 2, 2)


@pytest.mark.parametrize(
    "piece", [np.arange(9) * 0.9, np.full(9, np.nan), np.arange(9) * 1j, np.arange(9) + 2**32, np.zeros((9, 2)), -X]
)
@pytest.mark.parametrize("take", [lambda ids: token_windows([ids], 3, 2), lambda ids: score(None, [ids])])
def test_pieces_are_ids(take, piece):
    with pytest.raises((TypeError, ValueError), match="pieces must "):
        take(piece)


@pytest.mark.parametrize("pieces", [np.arange(9), "abcdefghi", 5, [np.array([1, -1, 2, 3, 4])]])
def test_pieces_are_a_list_of_ids(pieces):
    with pytest.raises((TypeError, ValueError), match="pieces must "):
        token_windows(pieces, 3, 2)


@pytest.mark.parametrize("name", ["x", "y", "sample_weight"])
def test_arrays_have_rows(name):
    arguments = {"x": np.zeros((4, 2)), "y": np.zeros(4), "sample_weight": np.ones(4), name: []}
    with pytest.raises(ValueError, match=rf"{name} must have at least 1 row, got \[\]"):
        ArrayDataset(**arguments)


@pytest.mark.parametrize("invalid", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", ["x", "y", "sample_weight"])
def test_arrays_are_finite(name, dtype, invalid):
    arguments = {"x": np.zeros((4, 2), dtype), "y": np.zeros((4, 3), dtype), "sample_weight": np.ones(4, dtype)}
    arguments[name][2] = invalid
    with pytest.raises(
        ValueError, match=rf"{name} must be finite numbers, but \d are not: the first is {invalid} at row 2"
    ):
        ArrayDataset(**arguments)


def test_structures_of_arrays_are_finite():
    with pytest.raises(ValueError, match="x must be finite numbers, but 1 are not: the first is nan at row 1"):
        ArrayDataset({"ids": np.arange(3), "features": np.array([0.0, np.nan, 1.0])}, np.zeros(3))


def test_sample_weights_require_targets():
    with pytest.raises(ValueError, match="sample_weight requires y"):
        ArrayDataset(np.zeros((4, 2)), sample_weight=np.ones(4))


def test_ids_with_a_vocabulary_are_integers_in_it():
    for stream, message in (
        (np.arange(9) * 0.5, "ids must be integers for num_symbols=5"),
        (np.arange(9), "in \\[0, "),
    ):
        with pytest.raises(ValueError, match=message):
            TBPTTDataset(stream, 2, 2, num_symbols=5)


# === Vocabularies and ids ===


@pytest.mark.parametrize("symbols", [["a", "b"], ("a",), b"ab", [0], {"a": 1}, range(2), 3, None], ids=repr)
def test_symbols_are_text(symbols):
    with pytest.raises(ValueError, match="symbols must be a string"):
        Vocabulary(symbols)
    with pytest.raises(ValueError, match="words must be a list of strings"):
        WordVocabulary("a b")


@pytest.mark.parametrize("vocabulary", [Vocabulary("abc"), WordVocabulary(["a", "b", "c"]), ByteVocabulary()], ids=repr)
@pytest.mark.parametrize("ids", [[-1], [256], [0.5], [np.nan], [0, 1.0]], ids=repr)
def test_ids_outside_the_vocabulary_are_not_decoded(vocabulary, ids):
    with pytest.raises(ValueError, match="ids must be integers in "):
        vocabulary.decode(ids)
    assert len(vocabulary.decode(np.array([0, 1], "uint8")).replace(" ", "")) == 2 and vocabulary.decode([]) == ""


@pytest.mark.parametrize("ids", [[[0, 4]], [[0, -1]], [[0.0, 2.7]], [[0.0, np.nan]], [[1j, 0]]], ids=repr)
def test_one_hot_encodes_ids_of_the_vocabulary_only(ids):
    layer, ids = OneHot(4), np.array(ids)
    with pytest.raises(ValueError, match=r"(ids|x) must "):
        layer(ids)
    if ids.dtype != complex:
        with pytest.raises(tf.errors.InvalidArgumentError, match="ids must be integers in "):
            tf.function(layer)(ids)


def test_one_hot_reads_integers_in_any_dtype():
    expected = np.eye(3000, dtype="float32")[[0, 2999]]
    for dtype in ("int32", "int64", "uint16", "float32"):
        np.testing.assert_array_equal(OneHot(3000)(np.array([0, 2999], dtype)), expected)
    half = OneHot(3000, dtype="mixed_float16")(np.array([0, 2999], "float32"))
    np.testing.assert_array_equal(half, expected)  # ids are not rounded to float16


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (lambda: LanguageModel(5, 2), (1, 3)),
        (lambda: LanguageModel(5, 2, embedding=2, stateful=True), (1, 3)),
        (lambda: SequenceModel(5, 2, 2, embedding=3), (1, 3)),
    ],
    ids=["one-hot", "stateful", "series"],
)
def test_models_of_ids_read_integers(model, shape):
    model = model()
    assert model(np.zeros(shape, "int64")).shape[0] == 1
    for ids in (np.zeros(shape), np.full(shape, 0.5), np.full(shape, np.nan), np.zeros(shape).tolist()):
        with pytest.raises(ValueError, match=r"(tokens|ids) must be integers, got float"):
            model(ids)


# === Masks ===


@pytest.mark.parametrize("make", [lambda: DeepRNN(3, 2), lambda: LSTM(3), lambda: GRU(3), lambda: SimpleRNN(3)])
def test_mask_has_the_shape_of_the_steps(make):
    layer = make()
    for shape in ((3, 3), (2, 4), (3,), (2, 3, 4), ()):
        with pytest.raises(ValueError, match=r"mask must have shape \(n, T\), .* \(2, 3\), got shape"):
            layer(BATCH, mask=tf.ones(shape, "bool"))
    assert layer(BATCH, mask=tf.ones((2, 3), "bool")).shape == (2, 3)


@pytest.mark.parametrize("make", [lambda: DeepRNN(3), lambda: LSTM(3)])
def test_mask_of_unknown_shape_is_checked_when_the_graph_runs(make):
    layer = make()
    signature = [tf.TensorSpec((None, None, 4)), tf.TensorSpec((None, None), "bool")]
    call = tf.function(lambda x, mask: layer(x, mask=mask), input_signature=signature)
    assert call(BATCH, np.ones((2, 3), bool)).shape == (2, 3)
    # TensorFlow does not order the layer's check and that of native code
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"mask must (have|be bool of) shape"):
        call(BATCH, np.ones((2, 4), bool))


def test_symbolic_masks_are_checked():
    x, mask = keras.Input((5, 3)), keras.Input((6,), dtype="bool")
    with pytest.raises(ValueError, match=r"mask must have shape \(n, T\)"):
        DeepRNN(3)(x, mask=mask)


def test_reset_mask_has_one_entry_per_row():
    layer = DeepRNN(3, stateful=True)
    layer(BATCH)
    with pytest.raises(ValueError, match=r"reset_mask must have shape \(n,\), .* \(2,\), got shape \(3,\)"):
        layer(BATCH, reset_mask=tf.ones(3, "bool"))


@pytest.mark.parametrize("make", [lambda: DeepRNN(3, 2), lambda: LSTM(3), lambda: GRU(3), lambda: SimpleRNN(3)])
def test_complex_sequences_are_rejected(make):
    with pytest.raises(ValueError, match="x must hold real numbers, got complex64"):
        make()(BATCH.astype("complex64"))


# === Models of series ===


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in ("offset", "scale") for value in (np.nan, np.inf, [], [1.0, 2.0], "3", [[1.0] * 3])]
    + [("scale", 0.0), ("scale", [1.0, 0.0, 1.0])],
)
def test_offset_and_scale_are_finite_numbers(name, value):
    with pytest.raises(ValueError, match=f"{name} must "):
        SequenceModel(3, 2, 2, **{name: value})
    with pytest.raises(ValueError, match="scale is not supported with an embedding"):
        SequenceModel(3, 2, 2, embedding=2, scale=2.0)


@pytest.mark.parametrize("targets", [[-1, 1], [0, 2], [0, 0.5]], ids=str)
def test_binary_targets_are_0_or_1(targets):
    series = [X[0], X[1]]
    with pytest.raises(ValueError, match="targets must be class indices in "):
        SequenceModel(3, 1, 2, kind="binary").dataset(series, targets)
    rolls = [np.full((6, 4), value, "float32") for value in targets]
    with pytest.raises(ValueError, match="targets must be class indices in "):
        SequenceModel(3, 4, 2, kind="notes").dataset(series, rolls)


@pytest.mark.parametrize("series", ["one text", X[0], None, 5])
def test_one_series_is_not_a_list_of_series(series):
    with pytest.raises(ValueError, match="series"):
        SequenceModel(3, 2, 2).predict_labels(series)


def test_empty_sequences_are_named():
    model = SequenceModel(5, 2, 2, embedding=3, masks=True)
    with pytest.raises(ValueError, match="series must have at least 1 step each, but sequence 1 is empty"):
        model.predict_labels([np.array([1, 2]), np.array([], "int32")])


@pytest.mark.parametrize("kind", ["numbers", "binary"])
def test_targets_of_one_output_per_step_may_lack_the_last_axis(kind):
    model = SequenceModel(3, 1, 2, kind=kind, per_step=True)
    targets = (X.sum(-1) > 0).astype("float32")
    for columns in ([*targets], [*targets[:, :, None]]):
        _, y, _ = next(iter(model.dataset([*X], columns, 8, shuffle=False)))
        np.testing.assert_array_equal(y, targets[:, :, None])


def test_binary_models_have_two_labels():
    model = SequenceModel(3, 1, 2, kind="binary", labels=("healthy", "ill"))
    _, y = next(iter(model.dataset([*X], ["ill", "healthy"] * 4, 8, shuffle=False)))
    np.testing.assert_array_equal(y, [1, 0] * 4)
    assert set(model.predict_labels([*X])) <= {"healthy", "ill"}
    restored = SequenceModel.from_config(model.get_config())
    assert restored.labels == ("healthy", "ill")
    for labels in (("ill",), ("ill", "ill"), ("a", "b", "c")):
        with pytest.raises(ValueError, match="labels must be 2 distinct names, for 0 and 1"):
            SequenceModel(3, 1, 2, kind="binary", labels=labels)


def test_class_weights_are_given_by_name_or_index(eager):
    losses = []
    for weights in ({0: 1.0, 1: 15.0}, {"healthy": 1.0, "ill": 15.0}, {"ill": np.float32(15)}, {np.int64(1): 15}):
        keras.utils.set_random_seed(0)
        model = SequenceModel(3, 2, 2, labels=("healthy", "ill"))
        model.compile("sgd", model.loss_function())
        data = model.dataset([*X], ["healthy", "ill"] * 4, 8, seed=0)
        losses.append(model.fit(data, class_weight=weights, shuffle=False, verbose=0).history["loss"])
    assert losses[1:] == losses[:1] * 3


@pytest.mark.parametrize("weights", [{"sick": 1.0}, {2: 1.0}, {"ill": -1.0}, {"ill": "3"}, {"ill": np.nan}], ids=str)
def test_class_weights_are_checked(weights):
    model = SequenceModel(3, 2, 2, labels=("healthy", "ill"))
    with pytest.raises(ValueError, match="class_weight"):
        model.class_weights(weights)
    with pytest.raises(ValueError, match="class_weight is not supported for kind='numbers'"):
        SequenceModel(3, 1, 2, kind="numbers").class_weights({0: 1.0})


# === Generation ===


def with_weights(model, value):
    model.set_weights([np.full_like(weight, value) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_models_with_non_finite_weights_generate_nothing(value):
    with pytest.raises(ValueError, match="must be finite, got NaN or infinity; load weights of an earlier epoch"):
        with_weights(LanguageModel("abc", 2), value).generate("ab", 3, seed=0)
    model = with_weights(SequenceModel(4, 4, 2, kind="notes"), value)
    for notes in (None, 2):
        with pytest.raises(ValueError, match="must be finite, got NaN or infinity; load weights of an earlier epoch"):
            model.generate(np.zeros((2, 4)), 2, seed=0, notes=notes)


def test_models_with_non_finite_weights_are_not_saved_as_presets(tmp_path):
    model = with_weights(zoo.create_model("d2l_rnn_2x32", units=4), np.nan)
    with pytest.raises(ValueError, match=r"is not saved: its weight .* is not finite"):
        zoo.save_preset(model, tmp_path / "preset")
    assert not (tmp_path / "preset").exists()


def test_low_temperatures_draw_the_most_probable_symbol():
    model = LanguageModel("abc", 2)
    *others, kernel, bias = model.get_weights()
    model.set_weights([*others, kernel * 0, np.array([0.5, 1.0, -1.0], bias.dtype)])
    assert model.generate("a", 4, temperature=1e-310, seed=0) == "abbbb"
    notes = SequenceModel(3, 3, 2, kind="notes")
    *others, kernel, bias = notes.get_weights()
    notes.set_weights([*others, kernel * 0, np.array([0.5, 1.0, -1.0], bias.dtype)])
    for number, frame in ((None, [1, 1, 0]), (1, [0, 1, 0])):
        roll = notes.generate(np.zeros((1, 3)), 2, temperature=1e-310, seed=0, notes=number)
        np.testing.assert_array_equal(roll[1:], [frame] * 2)


@pytest.mark.parametrize("seed", [-1, 1.5, "x", np.array([1])], ids=repr)
def test_seeds_of_generation_are_non_negative_integers(seed):
    with pytest.raises(ValueError, match="seed must be "):
        LanguageModel("abc", 2).generate("ab", 3, seed=seed)
    with pytest.raises(ValueError, match="seed must be "):
        generate_notes(None, np.zeros((2, 3)), seed=seed)
