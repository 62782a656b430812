"""`TextSource`: texts in files of any size, read in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from deeprnn_keras import progress
from deeprnn_keras._types import PathLike
from deeprnn_keras.data.text_file import text_chunks
from deeprnn_keras.data.vocabulary import TextVocabulary, letters_only
from deeprnn_keras.extras import import_optional
from deeprnn_keras.reading import DamagedFileError, damage_reported

if TYPE_CHECKING:
    from types import ModuleType

PARQUET = (".parquet", ".pq")
SUFFIXES = (".txt", *PARQUET)
COLUMN = "text"
ROWS = 256  # of a Parquet file that are read at once
MEGABYTE = 10**6

Chunks: TypeAlias = Iterator[str]
"""Texts that continue each other."""


class TextSource:
    """Texts in a text file, a Parquet file, or a directory of such files, read in bounded memory.

    A text file is one text. In a Parquet file, each row of the column "text" is one text, and memory is needed for the
    column of one row group. Of a directory, all files with the suffixes .txt, .parquet, and .pq are read, also in
    subdirectories, in the order of their paths; names that begin with "." or "_" are skipped.

    Args:
        path: The file or the directory.

    Attributes:
        name: Name of the file or the directory.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If a directory contains no such file.

    >>> import pathlib, tempfile
    >>> from deeprnn_keras.data.text_source import TextSource
    >>> path = pathlib.Path(tempfile.mkdtemp(), "a.txt")
    >>> _ = path.write_text("to be")
    >>> [list(chunks) for chunks in TextSource(path.parent).texts()]
    [['to be']]
    """

    def __init__(self, path: PathLike) -> None:
        path = Path(path).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"text file {str(path)!r} does not exist")
        self.name = path.name
        self._paths = _files(path) if path.is_dir() else [path]
        self._size = sum(one.stat().st_size for one in self._paths)

    def texts(self) -> Iterator[Chunks]:
        """Yield the chunks of each text, and report the number of megabytes that have been read."""
        finished = 0
        for path in self._paths:
            read = _parquet_texts if path.suffix.lower() in PARQUET else _text
            yield from read(path, self._reporter(finished))
            finished += path.stat().st_size

    def _reporter(self, finished: int) -> Callable[[int], None]:
        total = -(-self._size // MEGABYTE)
        return lambda read: progress.report((finished + read) // MEGABYTE, total)


def _files(directory: Path) -> list[Path]:
    paths = [
        path
        for path in sorted(directory.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith((".", "_")) for part in path.relative_to(directory).parts)
    ]
    if not paths:
        raise ValueError(f"directory {str(directory)!r} contains no file with the suffix {', '.join(SUFFIXES)}")
    return paths


def _text(path: Path, on_read: Callable[[int], None]) -> Iterator[Chunks]:
    yield text_chunks(path, on_read)


def _parquet_texts(path: Path, on_read: Callable[[int], None]) -> Iterator[Chunks]:
    parquet = import_optional("pyarrow.parquet", "forecast", "Reading Parquet files")
    with damage_reported(path, "a Parquet file", *_arrow_errors()), parquet.ParquetFile(path) as file:
        if COLUMN not in file.schema_arrow.names:
            names = ", ".join(file.schema_arrow.names)
            raise DamagedFileError(path, f"has no column {COLUMN!r}; its columns are {names}")
        size, rows, count = path.stat().st_size, 0, file.metadata.num_rows
        for batch in file.iter_batches(ROWS, columns=[COLUMN]):
            for row, text in enumerate(batch.column(0).to_pylist(), start=rows):
                if text is not None and not isinstance(text, str):
                    raise DamagedFileError(path, f"column {COLUMN!r} must hold texts, got {text!r} in row {row}")
                yield iter([text or ""])
            rows += len(batch)
            on_read(size * rows // count)


def _arrow_errors() -> tuple[type[Exception], ...]:
    arrow: ModuleType = import_optional("pyarrow", "forecast", "Reading Parquet files")
    return (arrow.ArrowException,)


# === Chunks of a text ===


def letter_chunks(chunks: Iterable[str]) -> Chunks:
    """Yield chunks of `letters_only` of a text."""
    after_space = False
    for chunk in chunks:
        reduced = letters_only(chunk)
        if after_space:
            reduced = reduced.removeprefix(" ")  # the run of other characters began in the previous chunk
        after_space = reduced.endswith(" ") or (after_space and not reduced)
        yield reduced


def whole_words(chunks: Iterable[str]) -> Chunks:
    """Yield chunks that end between two words."""
    held = ""
    for chunk in chunks:
        text = held + chunk
        end = len(text) - len(text.rsplit(maxsplit=1)[-1]) if text and not text[-1].isspace() else len(text)
        held = text[end:]
        yield text[:end]
    yield held


def encoded_chunks(
    chunks: Iterable[str], vocabulary: TextVocabulary, unknown: str, name: str = "text"
) -> Iterator[np.ndarray]:
    """Yield the ids of the chunks of a text.

    Args:
        chunks: The chunks.
        vocabulary: The vocabulary.
        unknown: "error" or "skip", as for `Vocabulary.encode`.
        name: Name of the text in error messages.

    Raises:
        ValueError: If `unknown` is "error" and a chunk has unknown symbols; the message lists them.
    """
    start = 0
    for chunk in whole_words(chunks) if vocabulary.unit == "word" else chunks:
        try:
            yield vocabulary.encode(chunk, unknown)
        except ValueError as error:
            raise ValueError(f"{name}, characters {start:,} to {start + len(chunk):,}: {error}") from None
        start += len(chunk)
