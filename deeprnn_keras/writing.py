"""Atomic writes: each file is written under a temporary name and renamed, so that it is complete or absent."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deeprnn_keras._types import PathLike

if TYPE_CHECKING:
    import keras


@contextmanager
def atomic_write(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path with the same suffix; rename it to `path` if the block succeeds, otherwise delete it."""
    path = Path(path)
    temporary_path = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary_path
        temporary_path.replace(path)
    finally:
        temporary_path.unlink(missing_ok=True)


def save_model(model: keras.Model, path: PathLike) -> None:
    """Save a Keras model."""
    with atomic_write(path) as temporary_path:
        model.save(temporary_path)


def save_bytes(data: bytes, path: PathLike) -> None:
    """Write a binary file."""
    with atomic_write(path) as temporary_path:
        temporary_path.write_bytes(data)


def save_text(text: str, path: PathLike) -> None:
    """Write a UTF-8 text file."""
    with atomic_write(path) as temporary_path:
        temporary_path.write_text(text, encoding="utf-8", newline="")


def save_json(value: object, path: PathLike) -> None:
    """Write an indented JSON file."""
    save_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def save_table(rows: Sequence[Mapping[str, object]], path: PathLike) -> None:
    """Write a CSV file with one row per dictionary; all have the same keys."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    save_text(text.getvalue(), path)
