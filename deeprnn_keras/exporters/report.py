"""`ExportReport`: what was exported, and how it compares with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Loss:
    """Loss of a model and of its file on the data of `evaluate`.

    Attributes:
        name: Name of the loss.
        model: Loss of the model.
        file: Loss of the file.
    """

    name: str
    model: float
    file: float


@dataclass(frozen=True)
class Latency:
    """Median time of one call at batch size 1, in milliseconds.

    Attributes:
        call: The call: "a step" or "100 steps".
        file: Time of the file in the runtime of its target, called from Python.
        reference: Time of the reference.
        reference_name: "Keras", or "NumPy interpreter" for a program.
    """

    call: str
    file: float
    reference: float
    reference_name: str


@dataclass(frozen=True)
class ExportReport:
    """Result of `export`.

    >>> from pathlib import Path
    >>> from deeprnn_keras.exporters import ExportReport
    >>> print(ExportReport(Path("small.py"), (Path("small.py"), Path("small.npz")), "numpy", {"LSTM": 2}, size=4096))
    File:                   small.py (with small.npz)
    Format:                 numpy
    Size:                   4.1 kB
    Operators:              2 LSTM
    Largest absolute error: not verified

    Attributes:
        path: The file.
        files: All files that were written, `path` first.
        target: Name of the format.
        operators: {type of operator: count} in the file.
        size: Size of the files in bytes.
        max_abs_error: Largest absolute difference from the reference on random inputs, or None with `verify=False`.
        latency: Latency of the file and of the reference, or None with `verify=False`.
        loss: Loss with `evaluate=`, or None.
        notes: Reasons why operations are not fused, and other remarks.
    """

    path: Path
    files: tuple[Path, ...]
    target: str
    operators: Mapping[str, int]
    size: int
    max_abs_error: float | None = None
    latency: Latency | None = None
    loss: Loss | None = None
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        beside = f" (with {', '.join(one.name for one in self.files[1:])})" if len(self.files) > 1 else ""
        operators = ", ".join(f"{count} {name}" for name, count in self.operators.items())
        rows = [("File", f"{self.path}{beside}"), ("Format", self.target), ("Size", _size(self.size))]
        rows += [("Operators", operators or "none")]
        error = self.max_abs_error
        rows += [("Largest absolute error", "not verified" if error is None else f"{error:.1e}")]
        if self.latency is not None:
            one = self.latency
            rows += [(f"Latency of {one.call}", f"{one.file:.3g} ms ({one.reference_name}: {one.reference:.3g} ms)")]
        if self.loss is not None:
            rows += [(self.loss.name, f"{self.loss.file:.4f} (model: {self.loss.model:.4f})")]
        rows += [("Note", note) for note in self.notes]
        width = max(len(label) for label, _ in rows) + 2
        return "\n".join(f"{label + ':':{width}}{text}" for label, text in rows)


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"
