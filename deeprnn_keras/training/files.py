"""Files that are whole or not there: each is written beside its place and renamed."""

import csv
import io
import json
import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_beside(path):
    """A temporary path with the same ending; moved to `path` if the block succeeds, removed if it fails."""
    path = Path(path)
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def save_model(model, path):
    """`model.save(path)`, whole or not at all."""
    with written_beside(path) as beside:
        model.save(beside)


def save_text(text, path):
    """A UTF-8 text file."""
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")


def save_json(value, path):
    """A JSON file for people and programs."""
    save_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def save_table(rows, path):
    """A CSV file of dictionaries with the same keys."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    save_text(text.getvalue(), path)
