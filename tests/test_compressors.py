"""Compressors as references for bits per character."""

import zlib

from deeprnn_keras.training.compressors import compressed_bits


def test_bits_of_gzip_by_hand():
    """gzip is deflate with 18 bytes around it; bits count per character, not per byte."""
    text = "été, " * 40 + "to be"
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    size = len(deflate.compress(text.encode()) + deflate.flush()) + 18
    bits = dict(compressed_bits(text))
    assert bits["gzip -9"] == 8 * size / len(text)
    assert set(bits) == {"gzip -9", "xz -9", "bz2 -9"} and all(0 < value < 8 for value in bits.values())
