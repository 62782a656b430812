"""`TextCorpus`: a text, its vocabulary, and a validation split."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import PathLike
from deeprnn_keras.data.text_file import read_text
from deeprnn_keras.data.vocabulary import TextVocabulary, Vocabulary

NUM_SEGMENTS = 10
VALIDATION_FRACTION = 0.1
WHITE_SPACE = re.compile(r"\s")


@dataclass(frozen=True)
class TextSplit:
    """Training and validation pieces of a text, which do not overlap.

    Windows do not span two pieces. Training with carried states reads the training pieces as one stream.

    Attributes:
        train: Pieces of the training text.
        validation: Pieces of the validation text.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]


class TextCorpus:
    """A text with its vocabulary.

    Args:
        text: The text, at least one character.
        name: Name of the text in reports.
        vocabulary: A `Vocabulary`, `WordVocabulary`, or `ByteVocabulary`. None: the characters of the text.
        validation: Validation text of an official split, or None.
        test: Test text of an official split, or None.

    Attributes:
        text: The text; with an official split, the training text.
        name: The name.
        vocabulary: The vocabulary.
        validation: The validation text as a `TextCorpus`, or None.
        test: The test text as a `TextCorpus`, or None.

    Raises:
        ValueError: If the text is empty.

    >>> from deeprnn_keras import TextCorpus
    >>> corpus = TextCorpus("to be, or not to be " * 50)
    >>> len(corpus.vocabulary), len(corpus.split().validation)
    (8, 10)
    """

    def __init__(
        self,
        text: str,
        name: str = "text",
        vocabulary: TextVocabulary | None = None,
        *,
        validation: TextCorpus | None = None,
        test: TextCorpus | None = None,
    ) -> None:
        if not text:
            raise ValueError(f"text of the corpus {name!r} must have at least 1 character, got an empty text")
        self.text = text
        self.name = name
        self.vocabulary: TextVocabulary = vocabulary or Vocabulary.from_text(text)
        self.validation = validation
        self.test = test

    @classmethod
    def from_file(cls, path: PathLike, vocabulary: TextVocabulary | None = None) -> TextCorpus:
        """Return the corpus of a UTF-8 text file, named after the file.

        Args:
            path: Path of the file. A byte order mark is dropped, and CRLF is read as LF.
            vocabulary: As for the class.

        Raises:
            FileNotFoundError: If the file does not exist.
            DamagedFileError: If it is a directory, empty, compressed, or not UTF-8. The message names the encoding if
                it is UTF-16 or UTF-32, and otherwise the position of the first invalid byte.
        """
        path = Path(path).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"text file {str(path)!r} does not exist")
        return cls(read_text(path), path.name, vocabulary)

    def split(self, segments: int = NUM_SEGMENTS, fraction: float = VALIDATION_FRACTION) -> TextSplit:
        """Split the text into segments of equal length, and hold out the end of each for validation.

        The language and the topics of a text can change from its beginning to its end. Because every segment
        contributes to both sets, the two sets are similar.

        Args:
            segments: Number of segments.
            fraction: Fraction of each segment that is held out.

        Raises:
            ValueError: If `segments` is not a positive integer or `fraction` is not in (0, 1).
        """
        segments = checks.positive_int("segments", segments)
        fraction = checks.fraction("fraction", fraction)
        boundaries = [self._next_boundary(len(self.text) * k // segments) for k in range(segments + 1)]
        train, validation = [], []
        for start, end in pairwise(boundaries):
            cut = self._next_boundary(end - round((end - start) * fraction))
            train.append(self.text[start:cut])
            validation.append(self.text[cut:end])
        return TextSplit(tuple(train), tuple(validation))

    def _next_boundary(self, position: int) -> int:
        """Return `position`; for a vocabulary of words, move it to the end of the word."""
        if self.vocabulary.unit != "word" or position == 0:
            return position
        white_space = WHITE_SPACE.search(self.text, position)
        return white_space.start() if white_space else len(self.text)

    def prefix(self, piece: str, length: int) -> str:
        """Return the first `length` characters of a text; for a vocabulary of words, complete the last word.

        Args:
            piece: The text.
            length: Number of characters.
        """
        white_space = WHITE_SPACE.search(piece, length) if self.vocabulary.unit == "word" else None
        return piece[: white_space.start() if white_space else length]

    def encode(self, pieces: Iterable[str]) -> list[np.ndarray]:
        """Return the ids of each text."""
        return [self.vocabulary.encode(piece) for piece in pieces]

    def describe(self) -> str:
        """Return the sizes of the text and its vocabulary, for example '4,138,977 characters, vocabulary of 66'."""
        unit, count = self.vocabulary.unit, len(self.text)
        count = count if unit == "character" else len(self.vocabulary.encode(self.text))
        return f"{count:,} {unit}s, vocabulary of {len(self.vocabulary):,}"

    def __len__(self) -> int:
        return len(self.text)
