"""`Vocabulary`: characters to ids and back."""

import re
from collections import Counter

import numpy as np

LETTERS = " abcdefghijklmnopqrstuvwxyz\ufffd"


def letters_only(text):
    """Lower-case letters a to z; every run of anything else becomes one space (D2L 9.2).

    >>> letters_only("Time, 1895!")
    'time '
    """
    return re.sub("[^A-Za-z]+", " ", text).lower()


class Vocabulary:
    """The characters a model knows; the id of a character is its place.

    Args:
        symbols: a string of characters, each once.

    Raises:
        ValueError: if a character occurs twice or there is none.

    >>> from deeprnn_keras.data import Vocabulary
    >>> vocabulary = Vocabulary.from_text("abracadabra")
    >>> vocabulary.encode("cab").tolist(), vocabulary.decode([2, 0, 1])
    ([2, 0, 1], 'cab')
    """

    unit = "character"

    def __init__(self, symbols):
        twice = [symbol for symbol, count in Counter(symbols).items() if count > 1]
        if twice or not symbols:
            raise ValueError(f"symbols must be a string of different characters, got {symbols!r} (twice: {twice})")
        self.symbols = str(symbols)
        codes = _code_points(self.symbols)
        self._order = np.argsort(codes)
        self._sorted = codes[self._order]

    @classmethod
    def from_text(cls, text):
        """The characters of `text`, in the order of their code points."""
        return cls("".join(sorted(set(text))))

    def __len__(self):
        return len(self.symbols)

    def __eq__(self, other):
        return isinstance(other, Vocabulary) and self.symbols == other.symbols

    def __hash__(self):
        return hash(self.symbols)

    def __repr__(self):
        return f"Vocabulary({self.symbols!r})"

    def encode(self, text, unknown="error"):
        """Ids of `text`, int32 of shape (characters,).

        Args:
            text: a string.
            unknown: "error", or "skip" to leave out characters that are not in the vocabulary.

        Raises:
            ValueError: naming the unknown characters and how often each occurs.
        """
        if unknown not in ("error", "skip"):
            raise ValueError(f"unknown must be 'error' or 'skip', got {unknown!r}")
        codes = _code_points(text)
        place = np.minimum(np.searchsorted(self._sorted, codes), len(self) - 1)
        known = self._sorted[place] == codes
        if not known.all() and unknown == "error":
            raise ValueError(_unknown_message(codes[~known], len(self)))
        return self._order[place[known]].astype("int32")

    def decode(self, ids):
        """The text of ids."""
        return "".join(self.symbols[int(i)] for i in ids)


def _code_points(text):
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _unknown_message(codes, size):
    counts = Counter(chr(code) for code in codes).most_common()
    shown = ", ".join(f"{symbol!r} ({count} times)" for symbol, count in counts[:10])
    more = f" and {len(counts) - 10} others" if len(counts) > 10 else ""
    return (
        f"text has characters outside the vocabulary of {size}: {shown}{more}; "
        "remove them, or skip them with unknown='skip' (on the command line: --skip-unknown)"
    )
