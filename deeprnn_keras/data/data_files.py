"""`DataFiles`: the data files of a run, a search, or an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

OFFICIAL_OPTIONS = ("valid", "test")
RECORDING_OPTIONS = ("dry", "wet", "channel")


@dataclass(frozen=True)
class DataFiles:
    """Files with user-provided data.

    Attributes:
        data: Training data, or all data; None for the data that are included in the package.
        valid: Validation data of an official split, or None.
        test: Test data of an official split, or None.
        dry: Recording of the input of a device, or None.
        wet: Recording of its output, or None.
        channel: Channel of both recordings to read, or None for the only one.
    """

    data: Path | None = None
    valid: Path | None = None
    test: Path | None = None
    dry: Path | None = None
    wet: Path | None = None
    channel: int | None = None

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the options."""
        return tuple(field.name for field in fields(cls))

    def official(self) -> dict[str, Path]:
        """Return the files of an official split that were passed, by option."""
        return self._passed(OFFICIAL_OPTIONS)

    def recordings(self) -> dict[str, Any]:
        """Return the recordings that were passed, and their channel, by option."""
        return self._passed(RECORDING_OPTIONS)

    def settings(self) -> dict[str, Any]:
        """Return the channel and the absolute paths of the files that were passed, as JSON values."""
        passed = self._passed(self.names())
        return {name: str(value.absolute()) if isinstance(value, Path) else value for name, value in passed.items()}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> DataFiles:
        """Return the files whose paths are in `settings`, which may have other entries."""
        values: dict[str, Any] = {name: settings.get(name) for name in cls.names()}
        paths = {name: Path(value) for name, value in values.items() if isinstance(value, str)}
        return cls(**{**values, **paths})

    def _passed(self, names: tuple[str, ...]) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}
