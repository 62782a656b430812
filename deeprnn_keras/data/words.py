"""Vocabularies of words and of bytes; they are used as `Vocabulary`, that of characters, is."""

import re
from collections import Counter

import numpy as np

from deeprnn_keras import checks

UNKNOWN, END_OF_LINE, PADDING = "<unk>", "<eos>", "<pad>"


def plain_words(text):
    """Lower-case words with spaces between: letters, digits and apostrophes stay, all else parts words.

    >>> plain_words("It's GOOD -- 10/10!")
    "it's good 10 10"
    """
    return " ".join(re.findall(r"[\w']+", text.lower()))


class WordVocabulary:
    """The words a model knows; the id of a word is its place. Words are what white space parts.

    Args:
        words: different strings. With "<unk>" among them it stands for every other word; with "<eos>" it stands for
            the end of a line, as in the Penn Treebank files of Mikolov et al. 2010.

    Raises:
        ValueError: if a word occurs twice, has white space in it, or there is none.

    >>> from deeprnn_keras.data import WordVocabulary
    >>> vocabulary = WordVocabulary.from_text("the cat saw the dog the cat fled", size=3)
    >>> vocabulary.words, vocabulary.encode("the cow").tolist()
    (('<unk>', 'the', 'cat'), [1, 0])
    """

    unit = "word"

    def __init__(self, words):
        self.words = tuple(words)
        twice = [word for word, count in Counter(self.words).items() if count > 1]
        wrong = [word for word in self.words if not isinstance(word, str) or len(word.split()) != 1]
        if twice or wrong or not self.words:
            raise ValueError(
                f"words must be different strings without white space; twice: {twice[:5]}, wrong: {wrong[:5]}"
            )
        self._ids = {word: place for place, word in enumerate(self.words)}

    @classmethod
    def from_text(cls, text, size=10_000, end_of_line=False, padding=False):
        """The most frequent words of a text, or of a list of texts.

        Args:
            text: a string, or strings.
            size: at most so many words, "<unk>" and the like included.
            end_of_line: whether lines end in "<eos>".
            padding: whether id 0 is "<pad>", for what stands before or behind a text.
        """
        special = [*([PADDING] if padding else []), UNKNOWN, *([END_OF_LINE] if end_of_line else [])]
        counts = Counter()
        for part in [text] if isinstance(text, str) else text:
            counts.update(part.split())
        common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        words = [word for word, _ in common if word not in special]
        return cls([*special, *words[: checks.positive_int("size", size) - len(special)]])

    @property
    def symbols(self):
        """What describes it in a configuration."""
        return self.words

    @property
    def padding(self):
        """The id of "<pad>", or 0."""
        return self._ids.get(PADDING, 0)

    def __len__(self):
        return len(self.words)

    def __eq__(self, other):
        return isinstance(other, WordVocabulary) and self.words == other.words

    def __hash__(self):
        return hash(self.words)

    def __repr__(self):
        return f"WordVocabulary({len(self)} words: {', '.join(self.words[:5])}, ...)"

    def encode(self, text, unknown="error"):
        """Ids of `text`, int32 of shape (words,).

        Args:
            text: a string.
            unknown: "error", or "skip" to leave words out, where the vocabulary has no "<unk>" to stand for them.

        Raises:
            ValueError: naming the unknown words and how often each occurs.
        """
        if unknown not in ("error", "skip"):
            raise ValueError(f"unknown must be 'error' or 'skip', got {unknown!r}")
        if END_OF_LINE in self._ids:
            text = text.replace("\n", f" {END_OF_LINE} ")
        words, other = text.split(), self._ids.get(UNKNOWN)
        if other is None and unknown == "error":
            counts = Counter(word for word in words if word not in self._ids).most_common()
            if counts:
                shown = ", ".join(f"{word!r} ({count} times)" for word, count in counts[:10])
                more = f" and {len(counts) - 10} others" if len(counts) > 10 else ""
                raise ValueError(
                    f"text has words outside the vocabulary of {len(self)}: {shown}{more}; give the vocabulary the "
                    "word '<unk>' to stand for them, or skip them with unknown='skip'"
                )
        ids = (self._ids.get(word, other) for word in words)
        return np.array([number for number in ids if number is not None], "int32")

    def decode(self, ids):
        """The text of ids, a space between words, a line's end for "<eos>"."""
        text = " ".join(self.words[int(i)] for i in ids)
        return text.replace(f" {END_OF_LINE} ", "\n").replace(f" {END_OF_LINE}", "\n").replace(f"{END_OF_LINE} ", "\n")


class ByteVocabulary:
    """The 256 bytes of text in UTF-8: any text of any script, no character is unknown.

    >>> from deeprnn_keras.data import ByteVocabulary
    >>> ByteVocabulary().encode("é!").tolist(), ByteVocabulary().decode([195, 169, 33])
    ([195, 169, 33], 'é!')
    """

    unit, symbols = "byte", 256

    def __len__(self):
        return 256

    def __eq__(self, other):
        return isinstance(other, ByteVocabulary)

    def __hash__(self):
        return hash(ByteVocabulary)

    def __repr__(self):
        return "ByteVocabulary()"

    def encode(self, text, unknown="error"):
        """Ids of `text`, int32 of shape (bytes,); nothing is unknown."""
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), "uint8").astype("int32")

    def decode(self, ids):
        """The text of ids; bytes that are no character become U+FFFD."""
        return bytes(int(i) for i in ids).decode("utf-8", "replace")


def vocabulary_of(value):
    """A vocabulary from what `plain` made of it; None for V alone.

    Args:
        value: a string of characters, a list of words, {"kind": "bytes"}, a vocabulary, or a number.
    """
    from deeprnn_keras.data.vocabulary import Vocabulary

    if isinstance(value, str):
        return Vocabulary(value)
    if isinstance(value, (list, tuple)):
        return WordVocabulary(value)
    if value == {"kind": "bytes"}:
        return ByteVocabulary()
    return value if hasattr(value, "encode") else None


def plain(vocabulary):
    """A vocabulary as plain values, for configurations."""
    if isinstance(vocabulary, ByteVocabulary):
        return {"kind": "bytes"}
    return list(vocabulary.words) if isinstance(vocabulary, WordVocabulary) else vocabulary.symbols
