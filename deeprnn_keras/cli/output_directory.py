"""Default output directories of the commands."""

from __future__ import annotations

from pathlib import Path


def unused_directory(path: Path) -> Path:
    """Return `path` if it does not exist, otherwise the first of NAME-2, NAME-3, … that does not exist."""
    number, directory = 1, path
    while directory.exists():
        number += 1
        directory = path.with_name(f"{path.name}-{number}")
    return directory
