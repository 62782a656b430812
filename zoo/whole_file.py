"""Files that are whole or not there."""

import os
from pathlib import Path


def write_whole(path, content):
    """Writes bytes, or text as UTF-8, beside `path` and renames it."""
    path = Path(path)
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    beside.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    beside.replace(path)
