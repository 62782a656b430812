"""Held-out texts: official splits with --valid and --test, and the text on which `deeprnn evaluate RUN` scores."""

import json
import re

import numpy as np
import pytest
from test_command import TEXT, TINY, deeprnn, error_of

from deeprnn_keras import LanguageModel, TextCorpus, zoo
from deeprnn_keras.data.data_files import DataFiles
from deeprnn_keras.models import load_language_model
from deeprnn_keras.tasks import families
from deeprnn_keras.tasks.text_batches import split_text, text_batches

NAME = "kjv_lstm_2x256"
LANGUAGE = families()["language"]
VALID, TEST = "the zebra and a word", "many words of sorts and a yak"


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """Write three texts to a new working directory, and return the options that use them."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("mine", TEXT), ("valid", VALID * 30), ("test", TEST * 20)):
        (tmp_path / f"{name}.txt").write_text(text)
    return ["--text", "mine.txt", "--valid", "valid.txt", "--test", "test.txt"]


def train(*options, name=NAME):
    result = deeprnn("train", name, *TINY, "--epochs", "1", "--output", "run", *options)
    assert result.exit_code == 0, result.output
    return result.stdout


def printed_score(output, text):
    """Return the bits per character that a report states for a text."""
    return float(re.search(rf"{text}.*?kjv_lstm_2x256.*?(\d+\.\d{{4}})", output, re.DOTALL)[1])


# === Loading ===


@pytest.mark.parametrize("name", ["kjv_lstm_2x256", "zaremba_small", "bytes_lstm_2x256", "d2l_gru_2x32"])
def test_official_split_is_loaded_as_the_entry_reads_it(name, texts, tmp_path):
    config = zoo.info(name)
    paths = [tmp_path / f"{part}.txt" for part in ("mine", "valid", "test")]
    corpus = LANGUAGE.load_files(config, DataFiles(*paths))
    assert (corpus.text, corpus.validation.text, corpus.test.text) == (TEXT, VALID * 30, TEST * 20)
    assert corpus.vocabulary == corpus.validation.vocabulary == corpus.test.vocabulary
    assert split_text(corpus, config.recipe).train == (TEXT,)
    if config.symbols == "characters" and not config.letters:
        assert set(corpus.vocabulary.symbols) == set(TEXT + VALID + TEST)
    if config.symbols == "words":
        assert "zebra" not in corpus.vocabulary.words, "the vocabulary is that of the training text"


@pytest.mark.parametrize(("command", "options"), [("train", ["--epochs", "1"]), ("evaluate", [])])
def test_official_splits_of_other_families_are_refused(command, options, texts):
    message = error_of(command, "digits_gru_2x64", *options, "--test", "test.txt")
    assert "does not support --test" in message


# === Training streams ===


@pytest.mark.parametrize("tokens", [929_589, 12_345])
def test_training_streams_lose_less_than_one_step_per_stream(tokens):
    """The Penn Treebank has 929,589 words with line ends; the recipe has 20 streams and T = 20."""
    recipe = zoo.info("zaremba_small").recipe
    ids = np.zeros(tokens, "int32")
    batches, _ = text_batches([ids], [ids[:9_000]], recipe, short_validation=False, seed=0)
    data = batches(None)
    read = recipe.batch_size * int(data.lengths(0).sum())
    assert tokens - 1 - read == (tokens - 1) % recipe.batch_size
    pieces, _ = text_batches(np.array_split(ids, 10), [ids[:9_000]], recipe, short_validation=False, seed=0)
    assert int(pieces(None).lengths(0).sum()) == int(data.lengths(0).sum()), "pieces are read as one stream"


def test_every_word_of_a_text_is_scored_once():
    model = LanguageModel("ab", units=2, implementation="loop")
    assert model.score("ab" * 500).count == 999


# === Commands ===


@pytest.mark.slow
def test_run_with_an_official_split_is_scored_on_its_texts(texts, tmp_path):
    output = train(*texts)
    assert "validation text valid.txt; test text test.txt" in output
    model = load_language_model("run")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    for part, text in (("validation", VALID * 30), ("test", TEST * 20)):
        assert result[part]["characters"] == len(text) - 1
        bits = model.score(text).bits_per_character
        assert result[part]["bits_per_character"] == pytest.approx(bits, abs=1e-6)
        assert printed_score(output, f"{part} text, ") == pytest.approx(bits, abs=1e-4)
    for options in ([], texts[2:]):
        evaluated = deeprnn("evaluate", "run", *options)
        assert evaluated.exit_code == 0, evaluated.output
        for name, text in (("valid.txt", VALID * 30), ("test.txt", TEST * 20)):
            bits = model.score(text).bits_per_character
            assert printed_score(evaluated.stdout, name) == pytest.approx(bits, abs=1e-4)
    (tmp_path / "test.txt").write_text(TEST * 21)
    assert "differ from those it was trained on in test_text; pass the data" in error_of("evaluate", "run")


@pytest.mark.slow
def test_run_is_scored_on_its_own_held_out_text(texts, tmp_path):
    train("--text", "mine.txt")
    model, held_out = load_language_model("run"), TextCorpus(TEXT).split().validation
    for argument in ("run", "run/model.keras"):
        result = deeprnn("evaluate", argument)
        assert result.exit_code == 0 and "mine.txt, held-out part" in result.stdout, result.output
        assert printed_score(result.stdout, "mine.txt") == pytest.approx(
            model.score(held_out).bits_per_character, abs=1e-4
        )
    (tmp_path / "mine.txt").write_text(TEXT + "a")
    assert "differ from those it was trained on in characters, sha256" in error_of("evaluate", "run")
    (tmp_path / "mine.txt").unlink()
    assert "mine.txt' does not exist" in error_of("evaluate", "run")
    (tmp_path / "other.keras").write_bytes((tmp_path / "run" / "model.keras").read_bytes())
    assert "was trained on is unknown; pass a text with --text FILE" in error_of("evaluate", "other.keras")


@pytest.mark.slow
def test_evaluate_reduces_a_text_as_train_does(texts, tmp_path):
    text = "It's a Question, 1895: to be, or NOT to be!\n" * 300
    (tmp_path / "mine.txt").write_text(text)
    train("--text", "mine.txt", "--batch-size", "500", name="d2l_gru_2x32")  # of 10,000 windows
    assert deeprnn("evaluate", "run").exit_code == 0
    result = deeprnn("evaluate", "run", "--text", "mine.txt")
    assert result.exit_code == 0, result.output
    assert f"mine.txt, {len(re.sub('[^a-z]+', ' ', text.lower())) - 1:,} characters" in result.stdout


# === Narrow terminals ===


@pytest.mark.parametrize("command", [pytest.param("train", marks=pytest.mark.slow), "generate"])
def test_characters_that_the_terminal_cannot_show_do_not_end_a_command(command, texts, tmp_path):
    from click.testing import CliRunner

    from deeprnn_keras.cli import main

    (tmp_path / "mine.txt").write_text("\u6f22\u5b57 and \U0001f602 " * 200, encoding="utf-8")
    options = ["--text", "mine.txt", *TINY, "--epochs", "1", "--output", "run"]
    if command == "generate":
        LanguageModel("a\u6f22", units=2).save(tmp_path / "model.keras")
        options = ["--prompt", "a\u6f22", "--length", "3"]
    arguments = ["train", NAME] if command == "train" else ["generate", "model.keras"]
    result = CliRunner(charset="cp1252").invoke(main, [*arguments, *options])
    assert result.exit_code == 0, result.output
    assert b"?" in result.stdout_bytes
