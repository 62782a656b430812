"""`WordVocabulary` and `ByteVocabulary`, with the interface of `Vocabulary`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, cast

import numpy as np
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras.data.vocabulary import TextVocabulary, Vocabulary, check_unknown, checked_ids, describe_unknown

UNKNOWN, END_OF_LINE, PADDING = "<unk>", "<eos>", "<pad>"

VocabularyLike: TypeAlias = str | Sequence[str] | Mapping[str, str] | TextVocabulary | int
"""A vocabulary, its serialized form, or only the number of symbols."""


def plain_words(text: str) -> str:
    """Return the lower-case words of a text, separated by single spaces.

    Words consist of letters, digits, underscores, and apostrophes; all other characters separate words.

    >>> plain_words("It's GOOD -- 10/10!")
    "it's good 10 10"
    """
    return " ".join(re.findall(r"[\w']+", text.lower()))


class WordVocabulary:
    """Vocabulary of words, which are separated by white space. The id of a word is its index in `words`.

    Args:
        words: Distinct strings. "<unk>", if it is one of them, represents every unknown word, and "<eos>" represents
            the end of a line, as in the Penn Treebank files of Mikolov et al. 2010.

    Attributes:
        words: The words.

    Raises:
        ValueError: If a word occurs more than once or contains white space, or if there are none.

    >>> from deeprnn_keras.data import WordVocabulary
    >>> vocabulary = WordVocabulary.from_text("the cat saw the dog the cat fled", size=3)
    >>> vocabulary.words, vocabulary.encode("the cow").tolist()
    (('<unk>', 'the', 'cat'), [1, 0])
    """

    unit: str = "word"

    def __init__(self, words: Iterable[str]) -> None:
        if isinstance(words, str):
            raise ValueError(f"words must be a list of strings, got the string {words[:60]!r}; pass words.split()")
        self.words = tuple(words)
        duplicates = [word for word, count in Counter(self.words).items() if count > 1]
        invalid = [word for word in self.words if not isinstance(word, str) or len(word.split()) != 1]
        if duplicates or invalid or not self.words:
            raise ValueError(
                f"words must be distinct strings without white space, got {len(self.words)} words with duplicates "
                f"{duplicates[:5]} and invalid words {invalid[:5]}"
            )
        self._ids = {word: index for index, word in enumerate(self.words)}

    @classmethod
    def from_text(
        cls, text: str | Iterable[str], size: int = 10_000, end_of_line: bool = False, padding: bool = False
    ) -> WordVocabulary:
        """Return the vocabulary of the most frequent words of a text or of several texts.

        Args:
            text: One text, or several.
            size: Maximum number of words, including "<unk>", "<eos>", and "<pad>".
            end_of_line: If True, "<eos>" is added, to represent the end of a line.
            padding: If True, "<pad>" is added, with id 0, to pad texts.

        Raises:
            ValueError: If `size` is not a positive integer.
        """
        end_of_line, padding = checks.flags(end_of_line=end_of_line, padding=padding)
        special = [*([PADDING] if padding else []), UNKNOWN, *([END_OF_LINE] if end_of_line else [])]
        counts: Counter[str] = Counter()
        for part in [text] if isinstance(text, str) else text:
            counts.update(part.split())
        by_frequency = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        words = [word for word, _ in by_frequency if word not in special]
        return cls([*special, *words[: checks.positive_int("size", size) - len(special)]])

    @property
    def symbols(self) -> tuple[str, ...]:
        """The words, as in the attribute `words`."""
        return self.words

    @property
    def padding(self) -> int:
        """Id of "<pad>", or 0 if the vocabulary does not contain it."""
        return self._ids.get(PADDING, 0)

    def __len__(self) -> int:
        return len(self.words)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, WordVocabulary) and self.words == other.words

    @override
    def __hash__(self) -> int:
        return hash(self.words)

    @override
    def __repr__(self) -> str:
        return f"WordVocabulary({len(self)} words: {', '.join(self.words[:5])}, ...)"

    def encode(self, text: str, unknown: str = "error") -> np.ndarray:
        """Return the ids of `text`, int32 of shape (words,).

        Args:
            text: The text.
            unknown: "error", or "skip" to omit unknown words. It has no effect if the vocabulary contains "<unk>".

        Raises:
            ValueError: If `unknown` is "error" and the text has unknown words; the message lists them.
        """
        check_unknown(unknown)
        if END_OF_LINE in self._ids:
            text = text.replace("\n", f" {END_OF_LINE} ")
        words, unknown_id = text.split(), self._ids.get(UNKNOWN)
        if unknown_id is None and unknown == "error":
            unknown_words = [word not in self._ids for word in words]
            if any(unknown_words):
                raise ValueError(
                    f"text must contain only the {len(self)} words of the vocabulary, got "
                    f"{describe_unknown(words, unknown_words)}; add the word '<unk>' to the vocabulary to represent "
                    "them, or skip them with unknown='skip'"
                )
        ids = (self._ids.get(word, unknown_id) for word in words)
        return np.array([word_id for word_id in ids if word_id is not None], "int32")

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """Return the text of ids: words separated by single spaces, with a line break for "<eos>"."""
        lines: list[list[str]] = [[]]
        for word in (self.words[i] for i in checked_ids(ids, len(self))):
            if word == END_OF_LINE:
                lines.append([])
            else:
                lines[-1].append(word)
        return "\n".join(map(" ".join, lines))


class ByteVocabulary:
    """Vocabulary of the 256 bytes of UTF-8 text. It can encode every text: there are no unknown characters.

    >>> from deeprnn_keras.data import ByteVocabulary
    >>> ByteVocabulary().encode("é!").tolist(), ByteVocabulary().decode([195, 169, 33])
    ([195, 169, 33], 'é!')
    """

    unit: str = "byte"
    symbols: int = 256

    def __len__(self) -> int:
        return self.symbols

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByteVocabulary)

    @override
    def __hash__(self) -> int:
        return hash(ByteVocabulary)

    @override
    def __repr__(self) -> str:
        return "ByteVocabulary()"

    def encode(self, text: str, unknown: str = "error") -> np.ndarray:
        """Return the ids of `text`, int32 of shape (bytes,).

        Args:
            text: The text.
            unknown: Has no effect; every text can be encoded.
        """
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), "uint8").astype("int32")

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """Return the text of ids. Bytes that are not valid UTF-8 become U+FFFD."""
        return bytes(checked_ids(ids, self.symbols)).decode("utf-8", "replace")


def deserialize_vocabulary(value: VocabularyLike) -> TextVocabulary | None:
    """Return a vocabulary from the result of `serialize_vocabulary`.

    Args:
        value: String of characters, list of words, {"kind": "bytes"}, or a vocabulary, which is returned; or only the
            number of symbols.

    Returns:
        The vocabulary, or None for a number.
    """
    if isinstance(value, str):
        return Vocabulary(value)
    if isinstance(value, (list, tuple)):
        return WordVocabulary(value)
    if value == {"kind": "bytes"}:
        return ByteVocabulary()
    return cast("TextVocabulary", value) if hasattr(value, "encode") else None


def serialize_vocabulary(vocabulary: TextVocabulary) -> str | Sequence[str] | dict[str, str] | int:
    """Return a vocabulary as JSON values, for configurations."""
    if isinstance(vocabulary, ByteVocabulary):
        return {"kind": "bytes"}
    if isinstance(vocabulary, WordVocabulary):
        return list(vocabulary.words)
    return vocabulary.symbols
