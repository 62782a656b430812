"""`FilePart`: a file, or a file in a zip archive."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from deeprnn_keras.model_file import member_content
from deeprnn_keras.reading import MAX_JSON_BYTES, DamagedFileError, damage_reported, parse_json


@dataclass(frozen=True)
class FilePart:
    """A file, or a member of a zip archive, possibly of an archive in an archive.

    Attributes:
        path: The file or the archive.
        members: Names of members, each in the archive before it; empty for the file itself.
    """

    path: Path
    members: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name for messages."""
        return "/".join((str(self.path), *self.members))

    @property
    def suffix(self) -> str:
        """Suffix of the file itself."""
        return PurePosixPath(self.name).suffix

    def member(self, name: str) -> FilePart:
        """Return a member of this archive."""
        return FilePart(self.path, (*self.members, name))

    def content(self) -> Path | io.BytesIO:
        """Return the path, or the content of the member."""
        return member_content(self.path, *self.members)

    def size(self) -> int:
        """Return the number of bytes."""
        content = self.content()
        return content.stat().st_size if isinstance(content, Path) else content.getbuffer().nbytes

    def read(self, max_bytes: int = MAX_JSON_BYTES) -> bytes:
        """Return the content as bytes.

        Raises:
            ValueError: If it is larger than `max_bytes`.
        """
        content = self.content()
        size = self.size()
        if size > max_bytes:
            raise ValueError(f"{self.name}: {size:,} bytes, but at most {max_bytes:,} are supported")
        return content.read_bytes() if isinstance(content, Path) else content.getvalue()

    def json(self) -> Any:  # noqa: ANN401 - JSON
        """Return the value of a JSON text, a dictionary."""
        return parse_json(self.read().decode("utf-8"))

    @contextmanager
    def as_file(self, name: str | None = None) -> Iterator[Path]:
        """Yield the path of a file with the content; that of a member is temporary.

        Args:
            name: Name of a temporary file that is required in any case; None to use the file itself if there is one.
        """
        content = self.content()
        if isinstance(content, Path) and name is None:
            yield content
            return
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / (name or PurePosixPath(self.name).name)
            with damage_reported(self.path, "a zip archive"):
                path.write_bytes(content.read_bytes() if isinstance(content, Path) else content.getvalue())
            try:
                yield path
            except DamagedFileError as error:
                raise DamagedFileError(self.name, str(error).removeprefix(f"{path}: ")) from error
