"""Publication of written files: all of them become visible under their names, or none."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staging_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `path`, which is deleted at the end."""
    directory = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def publish(written: Sequence[Path], directory: Path) -> list[Path]:
    """Move files or directories to `directory` and return their new paths; on failure, restore what was there.

    Args:
        written: Paths in a staging directory on the same file system, the main file first. It is moved last.
        directory: The directory.
    """
    kept = Path(tempfile.mkdtemp(dir=written[0].parent))
    begun: list[Path] = []
    try:
        for source in reversed(written):
            final = directory / source.name
            begun.append(source)
            if final.exists():
                final.rename(kept / source.name)
            source.rename(final)
    except BaseException:
        for source in begun:
            _restore(kept / source.name, source, directory / source.name)
        raise
    return [directory / source.name for source in written]


def _restore(kept: Path, source: Path, final: Path) -> None:
    if not source.exists():  # it has been moved
        final.rename(source)
    if kept.exists():
        kept.rename(final)
