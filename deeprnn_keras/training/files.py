"""Atomic files: each is written under a temporary name and renamed, so that it is complete or absent."""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path with the same ending; rename it to `path` if the block succeeds, else remove it."""
    path = Path(path)
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def save_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Save a Keras model."""
    with atomic_write(path) as temporary_path:
        model.save(temporary_path)


def save_bytes(data: bytes, path: str | os.PathLike[str]) -> None:
    """Write a binary file."""
    with atomic_write(path) as temporary_path:
        temporary_path.write_bytes(data)


def save_text(text: str, path: str | os.PathLike[str]) -> None:
    """Write a UTF-8 text file."""
    with atomic_write(path) as temporary_path:
        temporary_path.write_text(text, encoding="utf-8", newline="")


def save_json(value: Any, path: str | os.PathLike[str]) -> None:
    """Write a JSON file for people and programs."""
    save_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def save_table(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Write dictionaries with the same keys as a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    save_text(text.getvalue(), path)
