"""`Certificate`: the result of comparing a converted model with its source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from deeprnn_keras._types import PathLike
from deeprnn_keras.writing import save_json

SUFFIX = ".certificate.json"


@dataclass(frozen=True)
class Certificate:
    """Largest differences between a Keras model and the reference of its source, on random input.

    Attributes:
        model: Name of the model.
        source: Path or description of the source.
        reference: The runtime that computed the reference, with its version, or "NumPy": an interpreter of the
            documented equations of the source.
        errors: {name of the layer: largest absolute difference of its outputs}; the outputs of the model are last.
        tolerance: Largest error of a model that equals its source.
        input_shape: Shape of the input, (n, T, d), or (n, T) of ids.
        seed: Seed of the input.
        sha256: Hash of the file of the source, or None if it is not a file.
        versions: Versions of the packages that were compared.

    >>> from deeprnn_keras.interop import Certificate
    >>> print(Certificate("model", "net.onnx", "NumPy", {"lstm": 1e-7, "output": 2e-7}, 1e-5, (2, 20, 3), 0))
    net.onnx: model 'model' equals NumPy to 2e-07 (tolerance 1e-05, input (2, 20, 3), seed 0)
      lstm    1e-07
      output  2e-07
    """

    model: str
    source: str
    reference: str
    errors: Mapping[str, float]
    tolerance: float
    input_shape: tuple[int, ...]
    seed: int
    sha256: str | None = None
    versions: Mapping[str, str] | None = None

    @property
    def max_abs_error(self) -> float:
        """Largest error of all layers; infinite if an output is finite in only one of the two."""
        return max(self.errors.values(), default=math.inf)

    @property
    def passed(self) -> bool:
        """True if the largest error is at most the tolerance."""
        return self.max_abs_error <= self.tolerance

    def save(self, path: PathLike) -> Path:
        """Write the certificate as JSON and return the path of the file.

        Args:
            path: Path of the converted file, beside which the certificate is written: `model.keras` gets
                `model.keras.certificate.json`; or a path that ends with ".json".
        """
        path = Path(path)
        path = path if path.suffix == ".json" else path.with_name(path.name + SUFFIX)
        errors = {name: error if math.isfinite(error) else str(error) for name, error in self.errors.items()}
        largest = self.max_abs_error if math.isfinite(self.max_abs_error) else str(self.max_abs_error)
        save_json({**asdict(self), "errors": errors, "max_abs_error": largest, "passed": self.passed}, path)
        return path

    def __str__(self) -> str:
        verb = "equals" if self.passed else "differs from"
        setting = f"tolerance {self.tolerance:.2g}, input {self.input_shape}, seed {self.seed}"
        preposition = "to" if self.passed else "by"
        first = f"model {self.model!r} {verb} {self.reference} {preposition} {self.max_abs_error:.2g} ({setting})"
        width = max(map(len, self.errors), default=0)
        return "\n".join(
            [f"{self.source}: {first}", *(f"  {name:{width}}  {e:.2g}" for name, e in self.errors.items())]
        )
