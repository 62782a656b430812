"""Sizes reached by general-purpose compressors, as references for a language model's bits per character."""

from __future__ import annotations

import bz2
import gzip
import lzma


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
