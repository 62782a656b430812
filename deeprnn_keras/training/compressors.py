"""Sizes reached by general-purpose compressors, as references for a language model's bits per character."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Iterable, Iterator

MAX_CHARACTERS = 8 * 2**20  # xz -9 needs a second and up to 12 MB of memory per megabyte


def compressed_bits(text: str, unit: str = "character") -> list[tuple[str, float]]:
    """Return the compressed size of a text per symbol, for gzip, xz, and bz2 at their highest levels.

    The compressors receive the UTF-8 bytes of `text` only; no other text is used as a dictionary.

    Args:
        text: Text to compress.
        unit: "character" or "byte" for bits per character or byte. "word" returns an empty list: a word-level model
            does not predict spelling, so the figures would not be comparable.

    Returns:
        Pairs (name of the compressor, bits per symbol).
    """
    if unit == "word":
        return []
    data = text.encode("utf-8")
    count = len(text) if unit == "character" else len(data)
    sizes = {
        "gzip -9": len(gzip.compress(data, 9, mtime=0)),
        "xz -9": len(lzma.compress(data, preset=9)),
        "bz2 -9": len(bz2.compress(data, 9)),
    }
    return [(name, 8 * size / count) for name, size in sizes.items()]


class CompressedText:
    """References on a text that is read once, in chunks; none for texts of more than 8 million characters.

    Args:
        unit: As for `compressed_bits`.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._chunks: list[str] = []
        self._count = 0

    def keep(self, chunks: Iterable[str]) -> Iterator[str]:
        """Yield the chunks, and keep a copy while the text is short enough."""
        for chunk in chunks:
            self._count += len(chunk)
            if self._unit != "word" and self._count <= MAX_CHARACTERS:
                self._chunks.append(chunk)
            else:
                self._chunks.clear()
            yield chunk

    def bits(self) -> list[tuple[str, float]]:
        """Return the result of `compressed_bits` on the text, or an empty list."""
        return compressed_bits("".join(self._chunks), self._unit) if self._chunks else []
