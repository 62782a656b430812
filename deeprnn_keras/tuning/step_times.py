"""Limit on the duration of training steps, measured on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from deeprnn_keras._types import PathLike
from deeprnn_keras.reading import read_record
from deeprnn_keras.writing import save_json


class Measurement(TypedDict):
    """Duration of the steps of a model."""

    group: list[str]
    sizes: list[float]
    ms: float


class StepTimes:
    """Measured durations of training steps, used to decide whether a model is within the limit.

    A model that is at least as large in every size as one that exceeded the limit is rejected without a measurement.
    Likewise, a model that is at most as large in every size as one within the limit is accepted. All others are
    measured.

    Args:
        limit_ms: Maximum duration in milliseconds.
        measure: Function from the overridden fields of a model configuration to the duration of a step in milliseconds.
        file: File for the measurements, or None.
    """

    def __init__(
        self, limit_ms: float, measure: Callable[[dict[str, Any]], float], file: PathLike | None = None
    ) -> None:
        self.limit_ms, self._measure, self._file = limit_ms, measure, None if file is None else Path(file)
        self.measurements: list[Measurement] = []
        if self._file and self._file.exists():
            self.measurements = read_record(self._file, list[Measurement], "measured durations of steps")

    def allows(self, overrides: dict[str, Any]) -> bool:
        """Return whether a step of the model with these overrides takes at most `limit_ms`."""
        group, sizes = _comparison_key(overrides)
        for measurement in self.measurements:
            if measurement["group"] == group:
                pairs = list(zip(sizes, measurement["sizes"], strict=True))
                fast = measurement["ms"] <= self.limit_ms
                if fast and all(size <= measured for size, measured in pairs):
                    return True
                if not fast and all(size >= measured for size, measured in pairs):
                    return False
        ms = self._measure(overrides)
        self.measurements.append({"group": group, "sizes": sizes, "ms": ms})
        if self._file:
            save_json(self.measurements, self._file)
        return ms <= self.limit_ms


def _comparison_key(overrides: Mapping[str, Any]) -> tuple[list[str], list[float]]:
    """Return the properties that must be equal for a comparison, and the sizes: L, largest h, mean h, n, T."""
    units = overrides.get("units", 0)
    widths = list(units) if isinstance(units, (list, tuple)) else [units] * overrides.get("num_layers", 1)
    group = [str(overrides.get(name)) for name in ("cell", "connection")]
    sizes = [len(widths), max(widths), sum(widths) / len(widths)]
    return group, [*sizes, overrides.get("batch_size") or 0, overrides.get("bptt") or 0]
