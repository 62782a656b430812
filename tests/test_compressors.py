"""General-purpose compressors as references for bits per character."""

import zlib

from deeprnn_keras.training.compressors import compressed_bits


def test_gzip_bits_per_character():
    """gzip adds 18 bytes to the deflate stream; bits are counted per character, not per byte."""
    text = "été, " * 40 + "to be"
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    size = len(deflate.compress(text.encode()) + deflate.flush()) + 18
    bits = dict(compressed_bits(text))
    assert bits["gzip -9"] == 8 * size / len(text)
    assert set(bits) == {"gzip -9", "xz -9", "bz2 -9"} and all(0 < value < 8 for value in bits.values())
