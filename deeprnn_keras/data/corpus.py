"""`TextCorpus`: a text, its vocabulary, and a held-out split by position."""

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from deeprnn_keras import checks
from deeprnn_keras.data.vocabulary import Vocabulary

STRETCHES = 10
HELD_OUT = 0.1
WHITE = re.compile(r"\s")


@dataclass(frozen=True)
class TextSplit:
    """Two disjoint lists of text pieces; nothing should be read across the end of a piece."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


class TextCorpus:
    """A text to learn from.

    Args:
        text: at least one character.
        name: what to call it in reports.
        vocabulary: a `Vocabulary`, `WordVocabulary` or `ByteVocabulary`; None: the characters of the text.

    Raises:
        ValueError: if the text is empty.

    >>> from deeprnn_keras import TextCorpus
    >>> corpus = TextCorpus("to be, or not to be " * 50)
    >>> len(corpus.vocabulary), len(corpus.split().validation)
    (8, 10)
    """

    def __init__(self, text, name="text", vocabulary=None):
        if not text:
            raise ValueError(f"{name}: the text is empty; give at least one character")
        self.text = text
        self.name = name
        self.vocabulary = vocabulary or Vocabulary.from_text(text)

    @classmethod
    def from_file(cls, path, vocabulary=None):
        """The corpus in a UTF-8 text file.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If it is a directory, is empty, or is not UTF-8 (with the position of the first bad byte).
        """
        path = Path(path).expanduser()
        if path.is_dir():
            raise ValueError(f"text file {str(path)!r} is a directory")
        if not path.is_file():
            raise FileNotFoundError(f"text file {str(path)!r} does not exist")
        data = path.read_bytes()
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"text file {str(path)!r} is not UTF-8: byte 0x{data[error.start]:02x} at position {error.start}; "
                "convert it, for instance with iconv -f LATIN1 -t UTF-8"
            ) from None
        text = text.replace("\r\n", "\n")
        if not text:
            raise ValueError(f"text file {str(path)!r} is empty; give a file with text")
        return cls(text, path.name, vocabulary)

    def split(self, stretches=STRETCHES, fraction=HELD_OUT):
        """Cuts the text into equal stretches and holds out the last `fraction` of each for validation.

        A text changes from beginning to end; taking a part of every stretch makes the two sets alike.
        """
        stretches = checks.positive_int("stretches", stretches)
        fraction = checks.fraction("fraction", fraction)
        borders = [self._between_words(len(self.text) * k // stretches) for k in range(stretches + 1)]
        train, validation = [], []
        for start, end in pairwise(borders):
            cut = self._between_words(end - round((end - start) * fraction))
            train.append(self.text[start:cut])
            validation.append(self.text[cut:end])
        return TextSplit(tuple(train), tuple(validation))

    def _between_words(self, place):
        """`place`, or where words are read the end of the word it falls in."""
        if self.vocabulary.unit != "word" or place == 0:
            return place
        found = WHITE.search(self.text, place)
        return found.start() if found else len(self.text)

    def prefix(self, piece, length):
        """The first `length` characters of a piece of text, up to the end of a word where words are read."""
        white = WHITE.search(piece, length) if self.vocabulary.unit == "word" else None
        return piece[: white.start() if white else length]

    def encode(self, pieces):
        """Each piece of text as ids."""
        return [self.vocabulary.encode(piece) for piece in pieces]

    def describe(self):
        """Such as '4,138,977 characters of 66 kinds'."""
        unit, count = self.vocabulary.unit, len(self.text)
        count = count if unit == "character" else len(self.vocabulary.encode(self.text))
        return f"{count:,} {unit}s of {len(self.vocabulary):,} kinds"

    def __len__(self):
        return len(self.text)
