"""`WordVocabulary` and `ByteVocabulary`, and models that use them."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from deeprnn_keras import LanguageModel, SequenceModel, TextCorpus, zoo
from deeprnn_keras.cli import main
from deeprnn_keras.data import ByteVocabulary, Vocabulary, WordVocabulary, plain_words
from deeprnn_keras.data.words import deserialize_vocabulary, serialize_vocabulary
from deeprnn_keras.training.compressors import compressed_bits

pytestmark = pytest.mark.usefixtures("eager")

RHYME = "the king was in his counting house\ncounting out his money\n"


def test_words_round_trip():
    words = WordVocabulary.from_text(RHYME, end_of_line=True)
    assert words.words[:4] == ("<unk>", "<eos>", "counting", "his")
    assert len(words) == 2 + len(set(RHYME.split()))
    assert words.decode(words.encode(RHYME)) == RHYME
    small = WordVocabulary.from_text(RHYME, size=4, end_of_line=True)
    assert small.decode(small.encode(RHYME.splitlines()[0])) == "<unk> <unk> <unk> <unk> his counting <unk>"
    assert WordVocabulary.from_text([RHYME, "his his"], size=2).words == ("<unk>", "his")


@pytest.mark.parametrize("text", ["\n", "a\n\n\nb", "\n\na b\n\n", "a b", ""], ids=repr)
def test_line_ends_round_trip(text):
    words = WordVocabulary.from_text("a b", end_of_line=True)
    assert words.decode(words.encode(text)) == text


def test_vocabulary_without_an_unknown_word():
    words = WordVocabulary(["a", "b"])
    assert words.encode("b a").tolist() == [1, 0] and words.encode("b x a", "skip").tolist() == [1, 0]
    listed = r"'x' \(2 times\), 'y' \(1 times\), the first at position 0;"
    with pytest.raises(ValueError, match=f"only the 2 words of the vocabulary, got {listed}"):
        words.encode("x a y x")
    with pytest.raises(ValueError, match="unknown must be 'error' or 'skip', got 'drop'"):
        words.encode("a", "drop")


@pytest.mark.parametrize("words", [["a", "a"], ["a b"], [""], [], ["a", 3]], ids=str)
def test_invalid_words_are_rejected(words):
    with pytest.raises(ValueError, match="words must be distinct strings without white space"):
        WordVocabulary(words)


def test_plain_words():
    assert plain_words("“Don't,” she SAID -- 3 times.\n") == "don't she said 3 times"


def test_bytes_encode_every_script():
    text = "Ἐν ἀρχῇ 太初 \U0001d11e\n"
    bytes_ = ByteVocabulary()
    assert bytes_.decode(bytes_.encode(text)) == text and len(bytes_.encode(text)) == len(text.encode())
    assert bytes_.decode([206, 65]) == "\ufffdA", "an incomplete character"


@pytest.mark.parametrize("vocabulary", [Vocabulary("ab"), WordVocabulary(["x", "y"]), ByteVocabulary()], ids=repr)
def test_vocabularies_are_json_in_configurations(vocabulary):
    restored = deserialize_vocabulary(json.loads(json.dumps(serialize_vocabulary(vocabulary))))
    assert restored == vocabulary and hash(restored) == hash(vocabulary)
    assert deserialize_vocabulary(vocabulary) is vocabulary and deserialize_vocabulary(7) is None


def test_corpus_of_words_is_split_between_words():
    text = RHYME * 40
    corpus = TextCorpus(text, vocabulary=WordVocabulary.from_text(text, end_of_line=True))
    split = corpus.split()
    assert sorted("".join(split.train + split.validation)) == sorted(text)
    words = set(text.split())
    for piece in split.train + split.validation:
        assert set(piece.split()) <= words
    assert corpus.describe() == f"{len(text.split()) + 80:,} words, vocabulary of {len(words) + 2}"
    assert corpus.prefix("the king was", 5) == "the king"
    assert TextCorpus("äb", vocabulary=ByteVocabulary()).describe() == "3 bytes, vocabulary of 256"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vocabulary", "text"),
    [(WordVocabulary.from_text(RHYME, end_of_line=True), RHYME), (ByteVocabulary(), "πάντα ῥεῖ\n")],
    ids=["words", "bytes"],
)
def test_language_models_read_words_and_bytes(vocabulary, text, tmp_path):
    keras.utils.set_random_seed(2)
    model = LanguageModel(vocabulary, units=8, num_layers=2)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.vocabulary == vocabulary
    score = loaded.score(text * 3)
    assert score.count == len(vocabulary.encode(text * 3)) - 1
    assert score.cross_entropy == pytest.approx(np.log(len(vocabulary)), rel=0.1), (
        "untrained: close to a uniform distribution"
    )
    written = loaded.generate(text[:4] if vocabulary.unit == "byte" else "the king", length=6, seed=0)
    assert written.startswith(text[:4] if vocabulary.unit == "byte" else "the king")
    assert len(vocabulary.encode(written)) >= 6


def test_zoo_configurations_of_words_and_bytes(tmp_path):
    words = WordVocabulary.from_text(RHYME, end_of_line=True)
    config = zoo.info("zaremba_small", vocabulary=words.symbols, units=4, embedding=3)
    model = config.build()
    assert model.vocabulary == words and model.count_params() == config.count_params()
    zoo.save_preset(model, tmp_path / "p")
    assert zoo.create_model(tmp_path / "p").vocabulary == words
    assert zoo.create_model("bytes_lstm_2x256", units=4).vocabulary == ByteVocabulary()


def test_compressors_count_the_units_of_the_model():
    text = "é" * 500
    characters, bytes_ = (dict(compressed_bits(text, unit)) for unit in ("character", "byte"))
    assert characters["xz -9"] == 2 * bytes_["xz -9"]
    assert compressed_bits(text, "word") == []


REVIEWS = ["A good, GOOD film!", "bad bad bad film; so bad", "good fun", "what a bad one"]


@pytest.mark.parametrize("length", [3, pytest.param(None, marks=pytest.mark.slow)])
def test_sequence_models_read_raw_texts(length):
    words = WordVocabulary.from_text(map(plain_words, REVIEWS), size=5, padding=True)
    assert words.words == ("<pad>", "<unk>", "bad", "good", "a")
    keras.utils.set_random_seed(1)
    options = {"kind": "binary", "embedding": 3, "words": words.words, "length": length, "masks": length is None}
    model = SequenceModel(5, 1, 6, **options)
    ids = [array.tolist() for array in model._arrays(REVIEWS)]
    complete = [[4, 3, 3, 1], [2, 2, 2, 1, 1, 2], [3, 1], [1, 4, 2, 1]]
    assert ids == (complete if length is None else [[3, 3, 1], [1, 1, 2], [0, 3, 1], [4, 2, 1]])
    model.compile(keras.optimizers.Adam(0.1), model.loss_function())
    model.fit(model.dataset(REVIEWS, [1, 0, 1, 0]), epochs=12, shuffle=False, verbose=0)
    assert model.predict_labels(REVIEWS).tolist() == [1, 0, 1, 0]
    assert SequenceModel.from_config(model.get_config()).words == words
    with pytest.raises(ValueError, match=r"texts require words, .* create it with words="):
        SequenceModel(5, 1, 2, kind="binary", embedding=3, masks=True).predict_labels(REVIEWS)
    with pytest.raises(ValueError, match=r"words requires an embedding and inputs=5, .* got embedding=3 and inputs=4"):
        SequenceModel(4, 1, 2, kind="binary", embedding=3, words=words.words)


def text_model(words):
    options = {"embedding": 3, "words": words, "masks": True, "labels": ("bad", "good")}
    return SequenceModel(len(words), 2, 3, cell="rnn", **options)


@pytest.mark.parametrize("text", ["", " \n", "!!! :-(", "unheard"], ids=repr)
@pytest.mark.parametrize("words", [("<pad>", "<unk>", "good"), ("<unk>", "good"), ("<pad>", "good")], ids=" ".join)
def test_texts_without_a_known_word_are_read_as_one_step(words, text):
    model = text_model(words)
    together = model.predict_proba(["good good", text])
    ids = np.array([1 if text == "unheard" and words[1] == "<unk>" else 0])
    np.testing.assert_allclose(together[1], model.predict_proba([ids])[0], rtol=1e-5)
    np.testing.assert_allclose(together[0], model.predict_proba(["good good"])[0], rtol=1e-5)
    assert len(model.dataset([text, "good"], ["bad", "good"], 2)) == 1


def test_texts_that_cannot_be_read_are_named():
    model = text_model(("good", "bad"))
    with pytest.raises(ValueError, match=r"series\[1\] is a text without a word of the model, 'so-so'; remove it"):
        model.predict_labels(["good", "so-so"])
    with pytest.raises(ValueError, match="series must be a list of sequences, got one str"):
        model.predict_labels("good")


def test_zoo_model_of_film_reviews_reads_raw_texts(tmp_path):
    words = WordVocabulary.from_text(map(plain_words, REVIEWS), size=20, padding=True)
    model = zoo.create_model("imdb_bilstm_2x64", words=words.words, inputs=len(words), length=6, units=2, embedding=2)
    assert model.predict_labels(REVIEWS).shape[0] == 4
    zoo.save_preset(model, tmp_path / "p")
    assert zoo.create_model(tmp_path / "p").words == words


@pytest.mark.slow
def test_command_trains_a_model_of_words(tmp_path, monkeypatch):
    tf.config.run_functions_eagerly(False)  # as in a user's process; the fixture restores the setting
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rhyme.txt").write_text(RHYME * 40)
    small = ["--units", "3", "--epochs", "1", "--batch-size", "4", "--bptt", "4", "--learning-rate", "0.1"]
    result = CliRunner().invoke(main, ["train", "zaremba_small", "--text", "rhyme.txt", *small], env={"COLUMNS": "250"})
    assert result.exit_code == 0, result.output
    size = len(set(RHYME.split())) + 2
    assert f"words, vocabulary of {size}" in result.stdout and "bits per word" in result.stdout
    assert "gzip" not in result.stdout and "bits/word" in result.stdout
    scores = json.loads((tmp_path / "runs" / "zaremba_small" / "result.json").read_text())["validation"]
    assert scores["words"] > 0 and 0 < scores["bits_per_word"] < np.log2(size) + 1
