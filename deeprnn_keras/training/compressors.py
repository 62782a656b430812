"""What general compressors need for a text: the yardstick beside a model's bits per character."""

import bz2
import gzip
import lzma


def compressed_bits(text, unit="character"):
    """[(name, bits per character, or per byte)] of gzip, xz and bz2 at their strongest, over `text` alone, UTF-8.

    Nothing for words: a model of words is not told how they are spelt.
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
