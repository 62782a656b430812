"""`DataFiles`: the data files of a run, a search, or an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DataFiles:
    """Files with user-provided data.

    Attributes:
        data: Training data, or all data; None for the data that are included in the package.
        valid: Validation data of an official split, or None.
        test: Test data of an official split, or None.
    """

    data: Path | None = None
    valid: Path | None = None
    test: Path | None = None

    def official(self) -> dict[str, Path]:
        """Return the files of an official split that were passed, by option."""
        return {name: path for name, path in (("valid", self.valid), ("test", self.test)) if path is not None}

    def settings(self) -> dict[str, str]:
        """Return the absolute paths of the files that were passed, as JSON values."""
        paths = {"data": self.data, **self.official()}
        return {name: str(path.absolute()) for name, path in paths.items() if path is not None}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> DataFiles:
        """Return the files whose paths are in `settings`, which may have other entries."""
        paths = {name: settings.get(name) for name in ("data", "valid", "test")}
        return cls(**{name: None if path is None else Path(path) for name, path in paths.items()})
