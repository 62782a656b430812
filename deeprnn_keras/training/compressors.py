"""What general compressors need for a text: the yardstick beside a model's bits per character."""

import bz2
import gzip
import lzma


def compressed_bits(text):
    """[(name, bits per character)] of gzip, xz and bz2 at their strongest, over `text` alone, UTF-8."""
    data = text.encode("utf-8")
    sizes = {
        "gzip -9": len(gzip.compress(data, 9, mtime=0)),
        "xz -9": len(lzma.compress(data, preset=9)),
        "bz2 -9": len(bz2.compress(data, 9)),
    }
    return [(name, 8 * size / len(text)) for name, size in sizes.items()]
