"""`Vocabulary`: encoding, decoding, and unknown characters."""

import pytest

from deeprnn_keras.data import LETTERS, Vocabulary, letters_only


def test_vocabulary_is_ordered_by_code_point():
    assert Vocabulary.from_text("zebra, Ähre\n").symbols == "\n ,abehrzÄ"


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
    with pytest.raises(ValueError, match="only the 2 characters of the vocabulary, got") as error:
        Vocabulary("ab").encode("aXbX😀X\x00")
    message = str(error.value)
    for part in ("'X' (3 times)", "'😀' (1 times)", r"'\x00' (1 times)", "the first at position 1;"):
        assert part in message
    for part in ("unknown='skip'", "--skip-unknown"):
        assert part in message


def test_only_the_ten_most_frequent_unknown_characters_are_named():
    with pytest.raises(ValueError, match="and 16 others") as error:
        Vocabulary("01").encode("abcdefghijklmnopqrstuvwxyz" + "qrstuvwxyz")
    assert all(f"'{symbol}' (2 times)" in str(error.value) for symbol in "qrstuvwxyz")
    assert "'a'" not in str(error.value)


def test_unknown_characters_can_be_skipped():
    vocabulary = Vocabulary("ba")
    assert vocabulary.encode("a-b😀a", unknown="skip").tolist() == [1, 0, 1]
    assert vocabulary.encode("xyz", unknown="skip").tolist() == []


def test_invalid_value_of_unknown_is_rejected():
    with pytest.raises(ValueError, match="'error' or 'skip', got 'ignore'"):
        Vocabulary("ab").encode("ab", unknown="ignore")


@pytest.mark.parametrize(("symbols", "named"), [("abca", "'a'"), ("", "''"), ("aa😀b😀", "😀")])
def test_duplicate_or_missing_symbols_are_rejected(symbols, named):
    with pytest.raises(ValueError, match="distinct characters") as error:
        Vocabulary(symbols)
    assert named in str(error.value)


def test_vocabularies_with_equal_symbols_are_equal():
    assert Vocabulary("ab") == Vocabulary("ab") != Vocabulary("ba")
    assert len({Vocabulary("ab"), Vocabulary("ab"), Vocabulary("ba")}) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [("The Time--Machine, 1895!", "the time machine "), ("", ""), ("äÄ\n", " "), ("a\t b", "a b"), ("AZaz", "azaz")],
)
def test_letters_only(text, expected):
    assert letters_only(text) == expected
    assert set(expected) <= set(LETTERS)
