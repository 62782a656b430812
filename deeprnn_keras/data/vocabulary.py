"""`Vocabulary`: encode characters as ids and decode ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from typing_extensions import override

LETTERS = " abcdefghijklmnopqrstuvwxyz\ufffd"
MAX_LISTED = 10  # maximum number of unknown symbols that an error message lists


class TextVocabulary(Protocol):
    """Interface of `Vocabulary`, `WordVocabulary`, and `ByteVocabulary`.

    Attributes:
        unit: Name of a symbol: "character", "word", or "byte".
    """

    unit: str

    @property
    def symbols(self) -> str | tuple[str, ...] | int:
        """String of characters, tuple of words, or number of byte values."""
        ...

    def __len__(self) -> int: ...

    def encode(self, text: str, unknown: str = "error") -> np.ndarray:
        """Return the ids of a text, int32 of shape (symbols,)."""
        ...

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """Return the text of ids."""
        ...


def letters_only(text: str) -> str:
    """Return a text in lower-case letters a to z, with one space for each run of other characters.

    This is the preprocessing of Dive into Deep Learning, section 9.2.

    >>> letters_only("Time, 1895!")
    'time '
    """
    return re.sub("[^A-Za-z]+", " ", text).lower()


class Vocabulary:
    """Vocabulary of characters. The id of a character is its index in `symbols`.

    Args:
        symbols: String of characters, each once.

    Attributes:
        symbols: The characters.

    Raises:
        ValueError: If a character occurs more than once, or if there are none.

    >>> from deeprnn_keras.data import Vocabulary
    >>> vocabulary = Vocabulary.from_text("abracadabra")
    >>> vocabulary.encode("cab").tolist(), vocabulary.decode([2, 0, 1])
    ([2, 0, 1], 'cab')
    """

    unit: str = "character"

    def __init__(self, symbols: str) -> None:
        if not isinstance(symbols, str):
            raise ValueError(
                f"symbols must be a string of different characters, got {symbols!r}; use WordVocabulary for a list of "
                "words"
            )
        duplicates = [symbol for symbol, count in Counter(symbols).items() if count > 1]
        if duplicates or not symbols:
            raise ValueError(
                f"symbols must be a non-empty string of distinct characters, got {symbols!r}"
                + (f" with duplicates {duplicates}" if duplicates else "")
            )
        self.symbols = str(symbols)
        codes = _code_points(self.symbols)
        self._order = np.argsort(codes)
        self._sorted = codes[self._order]

    @classmethod
    def from_text(cls, text: str) -> Vocabulary:
        """Return the vocabulary of the characters of `text`, in the order of their code points."""
        return cls("".join(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.symbols)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.symbols == other.symbols

    @override
    def __hash__(self) -> int:
        return hash(self.symbols)

    @override
    def __repr__(self) -> str:
        return f"Vocabulary({self.symbols!r})"

    def encode(self, text: str, unknown: str = "error") -> np.ndarray:
        """Return the ids of `text`, int32 of shape (characters,).

        Args:
            text: The text.
            unknown: "error", or "skip" to omit characters that are not in the vocabulary.

        Raises:
            ValueError: If `unknown` is "error" and the text has unknown characters; the message lists them.
        """
        check_unknown(unknown)
        codes = _code_points(text)
        positions = np.minimum(np.searchsorted(self._sorted, codes), len(self) - 1)
        known = self._sorted[positions] == codes
        if not known.all() and unknown == "error":
            raise ValueError(
                f"text must contain only the {len(self)} characters of the vocabulary, got "
                f"{describe_unknown(text, ~known)}; remove them, or skip them with unknown='skip' "
                "(on the command line: --skip-unknown)"
            )
        return self._order[positions[known]].astype("int32")

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """Return the text of ids.

        Raises:
            ValueError: If an id is not an integer in [0, V).
        """
        return "".join(self.symbols[i] for i in checked_ids(ids, len(self)))


def checked_ids(ids: Iterable[int] | np.ndarray, size: int) -> list[int]:
    """Return ids as a list.

    Raises:
        ValueError: If an id is not an integer in [0, size).
    """
    array = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids))
    if array.size and (array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= size):
        raise ValueError(f"ids must be integers in [0, {size}), the size of the vocabulary, got {str(array)[:60]}")
    return array.tolist()


def check_unknown(unknown: str) -> None:
    """Raise a ValueError if `unknown` is neither "error" nor "skip"."""
    if unknown not in ("error", "skip"):
        raise ValueError(f"unknown must be 'error' or 'skip', got {unknown!r}")


def describe_unknown(symbols: Sequence[str], unknown: Sequence[bool] | np.ndarray) -> str:
    """Return the unknown symbols, their counts, and the first position for an error message, most frequent first."""
    positions = np.flatnonzero(unknown).tolist()
    counts = Counter(symbols[position] for position in positions).most_common()
    listed = ", ".join(f"{symbol!r} ({count} times)" for symbol, count in counts[:MAX_LISTED])
    others = f" and {len(counts) - MAX_LISTED} others" if len(counts) > MAX_LISTED else ""
    return f"{listed}{others}, the first at position {positions[0]}"


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
