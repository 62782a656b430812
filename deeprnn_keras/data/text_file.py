"""`read_text` and `text_chunks`: UTF-8 text files. Other encodings and compressed files are recognized and refused."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from deeprnn_keras._types import PathLike
from deeprnn_keras.reading import DamagedFileError, require_regular_file

# first bytes of files that are not text: (name, remedy)
SIGNATURES = {
    b"\x1f\x8b": ("a gzip file", "decompress it, for example with gzip -d"),
    b"BZh": ("a bzip2 file", "decompress it, for example with bzip2 -d"),
    b"\xfd7zXZ\x00": ("an xz file", "decompress it, for example with xz -d"),
    b"\x28\xb5\x2f\xfd": ("a Zstandard file", "decompress it, for example with zstd -d"),
    b"PK\x03\x04": ("a zip archive", "extract its files, and pass a text file"),
    b"%PDF-": ("a PDF file", "convert it to text, for example with pdftotext"),
}
# byte order marks; that of UTF-32 starts with that of UTF-16
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
# positions, modulo 4, of the bytes that are 0 in most texts in these encodings
ZERO_POSITIONS = {"UTF-32LE": (2, 3), "UTF-32BE": (0, 1), "UTF-16LE": (1, 3), "UTF-16BE": (0, 2)}
SAMPLE_BYTES = 4096
CHUNK_BYTES = 2**18
MANY, FEW = 0.5, 0.1  # minimum fraction of zeros at these positions, and maximum fraction at the others


def read_text(path: PathLike) -> str:
    """Return the content of a UTF-8 text file. A byte order mark is dropped, and CRLF is read as LF.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If it is empty, compressed, or not UTF-8. UTF-16 and UTF-32 are recognized; for other
            encodings, the message contains the position of the first invalid byte.
    """
    return "".join(text_chunks(path))


def text_chunks(path: PathLike, on_read: Callable[[int], object] | None = None) -> Iterator[str]:
    """Yield the content of a UTF-8 text file, as `read_text` returns it, in chunks of about `CHUNK_BYTES`.

    Args:
        path: The file.
        on_read: Function that is called with the number of bytes that have been read.

    Raises:
        FileNotFoundError: As for `read_text`.
        DamagedFileError: As for `read_text`.
    """
    path = require_regular_file(path)
    decoder = codecs.getincrementaldecoder("utf-8")()
    held, is_empty = "", True  # a CR at the end of a chunk is held back: LF might follow
    with path.open("rb") as file:
        for start, data in _blocks(path, file):
            text = held + _decoded(path, decoder, data, start, final=not data)
            held = "\r" if data and text.endswith("\r") else ""
            text = text.removesuffix(held).replace("\r\n", "\n")
            is_empty = is_empty and not text and not held
            if text:
                yield text
            if on_read:
                on_read(start + len(data))
    if is_empty:
        raise DamagedFileError(path, "is empty; pass a file with text")


def _blocks(path: Path, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield (position, bytes) of the blocks of a file without its byte order mark; the last block has no bytes.

    Raises:
        DamagedFileError: If the file is compressed, or encoded in UTF-16 or UTF-32.
    """
    data = file.read(CHUNK_BYTES)
    _check_signature(path, data)
    encoding = _wide_encoding(data, path.stat().st_size)
    if encoding is not None:
        raise DamagedFileError(path, f"is encoded in {encoding}, not in UTF-8; {_conversion(encoding)}")
    start = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    data = data[start:] or file.read(CHUNK_BYTES)
    while data:
        yield start, data
        start += len(data)
        data = file.read(CHUNK_BYTES)
    yield start, b""


def _decoded(path: Path, decoder: codecs.IncrementalDecoder, data: bytes, start: int, final: bool) -> str:
    """Return the text of a block of a file.

    Raises:
        DamagedFileError: If a byte is not UTF-8; the message contains its position.
    """
    pending = len(decoder.getstate()[0])
    try:
        return decoder.decode(data, final)
    except UnicodeDecodeError as error:
        raise DamagedFileError(
            path,
            f"is not UTF-8: byte 0x{error.object[error.start]:02x} at position {start - pending + error.start}; if it "
            f"comes from Windows, {_conversion('WINDOWS-1252')}; for other encodings, pass their name to -f",
        ) from None


def _check_signature(path: PathLike, data: bytes) -> None:
    for signature, (kind, remedy) in SIGNATURES.items():
        if data.startswith(signature):
            raise DamagedFileError(path, f"is {kind}, not text; {remedy}")


def _wide_encoding(data: bytes, size: int) -> str | None:
    """Return the name of UTF-16 or UTF-32 if a file of `size` bytes is text in this encoding.

    `data` is the start of the file, with or without a byte order mark.
    """
    for mark, name in MARKS.items():
        if data.startswith(mark):
            return name
    sample = np.frombuffer(data[:SAMPLE_BYTES], "uint8")
    if len(sample) < 4 or size % 2:
        return None
    zeros = [float(np.mean(sample[position::4] == 0)) for position in range(4)]
    for name, positions in ZERO_POSITIONS.items():
        others = [fraction for position, fraction in enumerate(zeros) if position not in positions]
        if min(zeros[position] for position in positions) > MANY and min(others) < FEW:
            return name
    return None


def _conversion(encoding: str) -> str:
    return f"convert it with iconv -f {encoding} -t UTF-8"
