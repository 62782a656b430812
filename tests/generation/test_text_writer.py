"""`TextWriter`: decoding in chunks, and stop strings over symbols and chunks."""

import itertools

import numpy as np
import pytest

from deeprnn_keras.data import ByteVocabulary, Vocabulary, WordVocabulary
from deeprnn_keras.generation.text_writer import TextWriter, checked_stops

LETTERS = Vocabulary("abcd")
WORDS = WordVocabulary(["<eos>", "the", "cat", "sat"])


def written(vocabulary, prompt, ids, stops, sizes):
    """Return the pieces of a text whose ids arrive in chunks of `sizes`."""
    writer = TextWriter(vocabulary, np.array(prompt, "int32"), stops)
    chunks = np.split(np.array(ids, "int32"), np.cumsum(sizes)[:-1])
    return [*(writer.write(chunk) for chunk in chunks), writer.close()], writer.stopped


def all_sizes(total):
    for cuts in itertools.product([False, True], repeat=total - 1):
        ends = [i + 1 for i, cut in enumerate(cuts) if cut] + [total]
        yield np.diff([0, *ends])


@pytest.mark.parametrize(
    ("stops", "expected"),
    [
        ([], "abcabdca"),
        (["d"], "abcab"),
        (["abd"], "abc"),
        (["bd", "cab"], "ab"),
        (["abcabdc", "cab"], "ab"),  # "cab" is complete first
        (["ab", "abc"], ""),
        (["bdcb", "dd"], "abcabdca"),  # beginnings only
        (["ca"], "ab"),
        (["dca"], "abcab"),
    ],
    ids=str,
)
def test_text_ends_at_the_first_complete_stop_string(stops, expected):
    ids = LETTERS.encode("abcabdca")
    for sizes in all_sizes(len(ids)):
        pieces, stopped = written(LETTERS, [0], ids, stops, sizes)
        assert "".join(pieces) == expected and stopped == (expected != "abcabdca")


def test_only_possible_beginnings_of_stop_strings_are_held_back():
    pieces, _ = written(LETTERS, [0], LETTERS.encode("abca"), ["bcd"], [1, 1, 1, 1])
    assert pieces == ["a", "", "", "bca", ""]


@pytest.mark.parametrize(
    ("vocabulary", "text", "prompt"),
    [(WORDS, "the cat\nsat the\n\ncat", 2), (ByteVocabulary(), "a é € 😀!", 1), (LETTERS, "abcd", 2)],
    ids=["words", "bytes", "characters"],
)
def test_pieces_joined_are_the_decoded_text(vocabulary, text, prompt):
    ids = vocabulary.encode(text)
    start, rest = ids[:prompt], ids[prompt:]
    for size in range(1, len(rest) + 1):
        sizes = [size] * (len(rest) // size) + [len(rest) % size]
        pieces, _ = written(vocabulary, start, rest, [], sizes)
        assert vocabulary.decode(start) + "".join(pieces) == vocabulary.decode(ids) == text


def test_invalid_and_incomplete_bytes_become_replacement_characters():
    ids = [0xFF, ord("a"), 0xC3, ord("b"), 0xE2, 0x82]
    for sizes in all_sizes(len(ids)):
        assert "".join(written(ByteVocabulary(), [97], ids, [], sizes)[0]) == ByteVocabulary().decode(ids)


def test_stop_string_over_words():
    ids = WORDS.encode("cat sat the cat")
    assert "".join(written(WORDS, WORDS.encode("the"), ids, ["t the"], [1] * 4)[0]) == " cat sa"
    assert "".join(written(WORDS, WORDS.encode("the"), WORDS.encode("cat\nsat"), ["\n"], [1] * 3)[0]) == " cat"


@pytest.mark.parametrize("stop", ["", ["a", ""], 3, [3], b"a", {"a": 1}], ids=repr)
def test_stop_is_a_text_or_several(stop):
    with pytest.raises(ValueError, match="stop must be a non-empty string, a list of them, or None, got"):
        checked_stops(stop)


def test_stops_of_an_argument():
    assert (checked_stops(None), checked_stops("ab"), checked_stops(["a", "b"])) == ((), ("ab",), ("a", "b"))
