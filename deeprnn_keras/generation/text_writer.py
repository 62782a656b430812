"""`TextWriter`: text of ids that arrive in chunks, up to a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from deeprnn_keras.data.vocabulary import TextVocabulary


class TextWriter:
    """Decoder of generated ids; the pieces that it returns are the text up to the first stop string.

    A stop string may extend over symbols and chunks: the end of the text that may be the beginning of one is returned
    later. The stop string that is complete first ends the text, so that the result does not depend on the chunks.

    Args:
        vocabulary: The vocabulary.
        prompt: Ids of the prompt, which is not part of the text.
        stops: Stop strings.

    Attributes:
        stopped: True after a stop string.
    """

    def __init__(self, vocabulary: TextVocabulary, prompt: np.ndarray, stops: Sequence[str]) -> None:
        self.stopped = False
        self._decode = _decoder(vocabulary, prompt)
        self._stops = stops
        self._held = ""

    def write(self, ids: np.ndarray) -> str:
        """Return the text that is certain after more ids; nothing after a stop string."""
        return "" if self.stopped else self._up_to_stop(self._decode(ids, False))

    def close(self) -> str:
        """Return the rest of the text, if no stop string ended it."""
        rest = "" if self.stopped else self._up_to_stop(self._decode(np.empty(0, np.int32), True)) + self._held
        self._held = ""
        return rest

    def _up_to_stop(self, piece: str) -> str:
        text, self._held = self._held + piece, ""
        found = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        if found:
            self.stopped = True
            return text[: min(found)[1]]
        size = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - size :]
        return text[: len(text) - size]


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of a text that is a beginning of a stop string."""
    lengths = range(min(len(stop) - 1, len(text)), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)


def _decoder(vocabulary: TextVocabulary, prompt: np.ndarray) -> Callable[[np.ndarray, bool], str]:
    """Return a function of the next ids, and whether they are the last, that returns their text."""
    if vocabulary.unit == "byte":
        return _byte_decoder(prompt)
    if vocabulary.unit == "character":
        return lambda ids, _: vocabulary.decode(ids)
    return _word_decoder(vocabulary, prompt)


def _byte_decoder(prompt: np.ndarray) -> Callable[[np.ndarray, bool], str]:
    """Return a function that decodes bytes in chunks; a character may extend over several."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(prompt.astype(np.uint8).tobytes())
    return lambda ids, final: decoder.decode(ids.astype(np.uint8).tobytes(), final)


def _word_decoder(vocabulary: TextVocabulary, prompt: np.ndarray) -> Callable[[np.ndarray, bool], str]:
    """Return a function that decodes words in chunks; the separator before a word depends on the word before it."""
    last = prompt[-1:]

    def decode(ids: np.ndarray, _: bool) -> str:
        nonlocal last
        text = vocabulary.decode(np.concatenate([last, ids]))[len(vocabulary.decode(last)) :]
        last = ids[-1:] if len(ids) else last
        return text

    return decode


def checked_stops(stop: Any) -> tuple[str, ...]:  # noqa: ANN401 - it is checked here
    """Return the stop strings of an argument.

    Raises:
        ValueError: If it is neither None, nor a text, nor several, or if one is empty.
    """
    if stop is None:
        return ()
    several = isinstance(stop, Iterable) and not isinstance(stop, (str, bytes, Mapping))
    stops: tuple[Any, ...] = tuple(stop) if several else (stop,)
    if not all(isinstance(one, str) and one for one in stops):
        raise ValueError(f"stop must be a non-empty string, a list of them, or None, got {stop!r}")
    return stops
