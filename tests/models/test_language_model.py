"""`LanguageModel`: gradients, initial loss, saving and loading, and rejected arguments."""

import math
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras import DeepRNN, LanguageModel, Recipe, Stream, lower
from deeprnn_keras.data import Vocabulary
from deeprnn_keras.initializers import ForgetBias
from deeprnn_keras.layers import OneHot
from deeprnn_keras.models import load_language_model

pytestmark = pytest.mark.usefixtures("eager")

LETTERS = "zab 😀"


def test_embedding_dropout_drops_whole_symbols():
    """All occurrences in a batch, for X only: a tied head uses E without dropout; a program has no dropout."""
    options = {"embedding": 4, "tied": True, "embedding_dropout": 0.5, "variational": True, "input_dropout": 0.4}
    model = LanguageModel("abcdefgh", 4, **options)
    ids = np.random.default_rng(0).integers(8, size=(5, 9))
    embedding, weights = model.get_layer("embedding"), model.get_layer("embedding").embeddings.numpy()
    factors = (embedding(ids, training=True) / weights[ids]).numpy()
    by_symbol = np.array([factors[ids == one].mean() for one in np.unique(ids)])
    np.testing.assert_allclose(
        factors, by_symbol[np.searchsorted(np.unique(ids), ids)][..., None] + 0 * factors, atol=1e-5
    )
    assert {float(one) for one in by_symbol.round(4)} == {0.0, 2.0}
    np.testing.assert_array_equal(embedding(ids), weights[ids])
    dropped = model.get_layer("input_dropout")(np.ones((5, 9, 4), "float32"), training=True).numpy()
    assert (dropped == dropped[:, :1]).all() and len(np.unique(dropped)) == 2
    np.testing.assert_allclose(Stream(lower(model))(ids[:1, 0]), model(ids[:1, :1])[:, 0], atol=1e-6)
    again = LanguageModel.from_config(model.get_config())
    assert again.get_config() == model.get_config() and type(again.get_layer("embedding")) is type(embedding)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embedding_dropout": 0.1}, "embedding_dropout=0.1 has no effect on one-hot vectors; pass a width"),
        ({"embedding": 3, "embedding_dropout": 1}, r"embedding_dropout must be a number in \[0, 1\), got 1"),
        ({"embedding": 3, "tied": True}, "tied=True requires embedding=4, .* projection=3 changes that width"),
        ({"embedding": 3, "variational": 1}, "variational must be True or False, got 1"),
    ],
    ids=str,
)
def test_unsupported_regularization_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LanguageModel("abc", 4, **options)


MODELS = {
    "one-hot": {"units": 4, "implementation": "loop"},
    "embedding": {
        "units": [3, 4],
        "num_layers": 2,
        "cell": ["gru", "lstm"],
        "embedding": 3,
        "connection": "skip",
        "implementation": "loop",
    },
    "normalization": {
        "units": 4,
        "num_layers": 2,
        "cell": "min_gru",
        "embedding": 4,
        "normalization": "rms",
        "variational_dropout": [0.1, 0.2],
        "dropout": 0.3,
        "seed": 3,
        "implementation": "loop",
    },
    "rates and initializers": {
        "units": 4,
        "num_layers": 2,
        "cell": "lstm",
        "activation": "relu",
        "connection": "residual",
        "embedding": 3,
        "input_dropout": 0.1,
        "dropout": 0.2,
        "output_dropout": 0.3,
        "kernel_initializer": "he_uniform",
        "bias_initializer": ForgetBias(2.0),
        "embeddings_initializer": keras.initializers.RandomUniform(-0.2, 0.2, seed=5),
        "head_initializer": "he_normal",
        "head_bias_initializer": keras.initializers.Constant(0.25),
        "name": "custom_name",
        "implementation": "loop",
    },
}
EVERY_MODEL = pytest.mark.parametrize("arguments", MODELS.values(), ids=MODELS)


def batch(rng, n=3, steps=5):
    ids = rng.integers(len(LETTERS), size=(n, steps + 1)).astype("int32")
    return ids[:, :-1], ids[:, 1:]


def trained_model(rng, **arguments):
    """Return a model after two updates, whose optimizer variables are not zero."""
    recipe = Recipe("adam", learning_rate=0.01, global_clipnorm=0.5)
    model = recipe.compile(LanguageModel(LETTERS, **arguments), LanguageModel.loss_function())
    x, y = batch(rng)
    model.fit(x, y, epochs=2, verbose=0)
    return model


# === Gradients and initial loss ===


@EVERY_MODEL
def test_every_weight_gets_a_gradient(rng, arguments):
    model = LanguageModel(LETTERS, **arguments)
    x, y = batch(rng)
    with tf.GradientTape() as tape:
        loss = model.loss_function()(y, model(x))
    weights = {weight.path: weight.value for weight in model.trainable_weights}
    assert len(weights) == len(model.trainable_weights)
    for path, gradient in tape.gradient(loss, weights).items():
        assert gradient is not None and np.any(tf.convert_to_tensor(gradient).numpy()), path


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(
    "options", [{}, {"embedding": 32}, {"embedding": 64, "tied": True}], ids=["one-hot", "embedding", "tied"]
)
def test_initial_loss_is_close_to_that_of_a_uniform_distribution(rng, cell, options):
    model = LanguageModel(60, units=64, num_layers=2, cell=cell, implementation="loop", **options)
    ids = rng.integers(60, size=(16, 21))
    loss = float(model.loss_function()(ids[:, 1:], model(ids[:, :-1])))
    assert loss == pytest.approx(math.log(60), abs=0.25)


def test_loss_is_the_mean_negative_log_likelihood(rng):
    model = LanguageModel(LETTERS, units=3)
    x, y = batch(rng)
    logits = np.asarray(model(x), "float64")
    likelihoods = np.exp(logits) / np.sum(np.exp(logits), -1, keepdims=True)
    expected = -np.mean(np.log(np.take_along_axis(likelihoods, y[..., None], -1)))
    assert float(model.loss_function()(y, logits)) == pytest.approx(expected, rel=1e-5)


def test_predictions_are_causal(rng):
    model = LanguageModel(LETTERS, units=4, num_layers=2, connection="skip")
    x, _ = batch(rng, n=1, steps=8)
    changed = x.copy()
    changed[0, 5] = (x[0, 5] + 1) % len(LETTERS)
    logits, changed_logits = model(x).numpy(), model(changed).numpy()
    np.testing.assert_allclose(logits[0, :5], changed_logits[0, :5], atol=1e-6)
    assert np.all(np.max(np.abs(logits - changed_logits)[0, 5:], axis=-1) > 1e-5)


def test_layers_of_the_model(rng):
    model = LanguageModel(LETTERS, units=4, num_layers=3, dropout=0.2, input_dropout=0.1, output_dropout=0.3)
    classes = [type(layer) for layer in model.layers[1:]]
    assert classes == [OneHot, keras.layers.Dropout, DeepRNN, keras.layers.Dropout, keras.layers.Dense]
    deep_rnn = model.get_layer("deep_rnn")
    assert (model.layers[2].rate, deep_rnn.dropout, deep_rnn.num_layers, model.layers[4].rate) == (0.1, 0.2, 3, 0.3)
    assert model.output_shape == (None, None, 5)


@pytest.mark.parametrize(("tied", "deviation"), [(False, 1.0), (True, 50**-0.5)])
def test_standard_deviation_of_the_embedding(tied, deviation):
    keras.utils.set_random_seed(1)
    model = LanguageModel(100, units=2, embedding=50, tied=tied, projection=50)
    table = model.get_layer("embedding").get_weights()[0]
    assert np.std(table) == pytest.approx(deviation, rel=0.05)


# === Saving ===


@EVERY_MODEL
def test_saved_and_loaded_model(rng, tmp_path, arguments):
    model = trained_model(rng, **arguments)
    model.save(tmp_path / "m.keras")
    loaded = load_language_model(tmp_path / "m.keras")
    x, y = batch(rng)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.get_config() == model.get_config()
    assert (loaded.name, loaded.vocabulary) == (model.name, Vocabulary(LETTERS))
    optimizer = loaded.optimizer
    assert (float(optimizer.learning_rate), optimizer.global_clipnorm) == (pytest.approx(0.01), 0.5)
    assert len(optimizer.variables) == len(model.optimizer.variables)
    for actual, expected in zip(optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(actual, expected, err_msg=expected.path)
    assert loaded.get_compile_config() == model.get_compile_config()
    assert float(loaded.loss(y, loaded(x))) == float(model.loss(y, model(x)))


@EVERY_MODEL
def test_configuration_contains_every_argument(arguments):
    config = LanguageModel(LETTERS, **arguments).get_config()
    restored = LanguageModel.from_config(config)
    assert restored.get_config() == config
    assert config["vocabulary"] == LETTERS
    for name, value in arguments.items():
        if not name.endswith("initializer"):
            per_layer = name in ("units", "cell", "activation") and not isinstance(value, list)
            assert config[name] == ([value] * len(config["units"]) if per_layer else value)
    if "head_bias_initializer" in arguments:
        np.testing.assert_array_equal(restored.get_layer("head").get_weights()[1], np.full(5, 0.25, "float32"))
        np.testing.assert_array_equal(restored.get_layer("deep_rnn").get_weights()[2][4:8], np.full(4, 2.0, "float32"))


def test_saved_and_loaded_model_of_ids(rng, tmp_path):
    model = LanguageModel(7, units=3)
    model.save(tmp_path / "m.keras")
    loaded = load_language_model(tmp_path / "m.keras")
    assert (loaded.vocabulary, loaded.vocabulary_size) == (None, 7)


def test_load_from_the_output_directory_of_a_run(tmp_path):
    model = LanguageModel("ab", units=2)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(load_language_model(tmp_path).get_weights()[0], model.get_weights()[0])


def missing(directory):
    return directory / "none.keras", "does not exist"


def empty_directory(directory):
    return directory, "does not exist"


def text_file(directory):
    (directory / "m.keras").write_text("not a model")
    return directory / "m.keras", "not a .keras file"


def truncated_file(directory):
    LanguageModel("ab", units=2).save(directory / "m.keras")
    data = (directory / "m.keras").read_bytes()
    (directory / "m.keras").write_bytes(data[: len(data) // 2])
    return directory / "m.keras", "not a .keras file"


def other_archive(directory):
    with zipfile.ZipFile(directory / "m.keras", "w") as archive:
        archive.writestr("poem.txt", "to be")
    return directory / "m.keras", "m.keras"


def other_model(directory):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(directory / "m.keras")
    return directory / "m.keras", "must be a LanguageModel, got a Sequential"


@pytest.mark.parametrize(
    "make", [missing, empty_directory, text_file, truncated_file, other_archive, other_model], ids=lambda f: f.__name__
)
def test_files_without_a_language_model_are_rejected(tmp_path, make):
    path, reason = make(tmp_path)
    with pytest.raises(FileNotFoundError if reason == "does not exist" else ValueError) as error:
        load_language_model(path)
    assert str(path) in str(error.value) and reason in str(error.value)


# === Invalid arguments ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bidirectional": True}, "bidirectional"),
        ({"go_backwards": True}, "go_backwards"),
        ({"return_state": True}, "return_state"),
        ({"return_all_layers": True}, "return_all_layers"),
        ({"vocabulary": "a"}, "vocabulary"),
        ({"vocabulary": 1}, "vocabulary"),
        ({"vocabulary": 0}, "vocabulary"),
        ({"vocabulary": "aba"}, "symbols"),
        ({"embedding": 0}, "embedding"),
        ({"input_dropout": 1.0}, "input_dropout"),
        ({"output_dropout": -0.1}, "output_dropout"),
        ({"dropout": "much"}, "dropout"),
        ({"cell": "lstn"}, "'lstm'"),
        ({"units": 0}, "units"),
    ],
    ids=str,
)
def test_invalid_arguments_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        LanguageModel(**{"vocabulary": "ab", "units": 2, **arguments})


def test_numpy_integers_are_accepted():
    assert LanguageModel(np.int64(9), units=np.int64(2)).vocabulary_size == 9


@pytest.mark.parametrize("method", [lambda m: m.generate("a"), lambda m: m.score("abc"), lambda m: m.corpus("abc")])
def test_model_of_ids_rejects_text(method):
    with pytest.raises(ValueError, match=r"text requires a vocabulary, .* ids below 7; .*vocabulary="):
        method(LanguageModel(7, units=2))


# === Text ===


@pytest.mark.slow
def test_score_counts_all_but_the_first_symbol_of_each_text():
    model = LanguageModel("ab ", units=2)
    model.get_layer("head").set_weights([np.zeros((2, 3)), np.log([0.5, 0.25, 0.25])])
    assert model.score("abba").nats == pytest.approx(math.log(4 * 4 * 2))
    pieces = model.score(["ab", "b", " aa"])
    assert (pieces.count, pieces.nats) == (3, pytest.approx(math.log(4 * 2 * 2)))
    assert model.score("a!b", unknown="skip").nats == pytest.approx(math.log(4))
    with pytest.raises(ValueError, match=r"'!' \(1 times\)"):
        model.score("a!b")


def test_corpus_has_the_vocabulary_of_the_model():
    corpus = LanguageModel("zab", units=2).corpus("abba", name="poem")
    assert (corpus.name, corpus.encode(["za"])[0].tolist()) == ("poem", [0, 1])
