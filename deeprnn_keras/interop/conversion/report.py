"""`ConversionReport`: which layers `convert` replaced, which it kept and why, and how equal the models are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Replacement:
    """Layers of a model and the layers in their place.

    Attributes:
        before: Descriptions of the layers of the model, lowest first: "encoder/lstm (LSTM)".
        after: Descriptions of the new layers, lowest first.
        max_abs_error: Largest absolute difference between their outputs on random input, without and with masks.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    max_abs_error: float


@dataclass(frozen=True)
class ConversionReport:
    """Result of a conversion by `convert`, an attribute `conversion_report` of the model that it returns.

    >>> from deeprnn_keras.interop import ConversionReport, Replacement
    >>> replaced = Replacement(("lstm (LSTM)", "lstm_1 (LSTM)"), ("lstm_1 (DeepRNN, 2 layers)",), 1.2e-7)
    >>> print(ConversionReport("speech", "deeprnn_keras", (replaced,), {"cell": "its cell has no equations"}, 2.4e-7))
    Model:                  speech, converted to deeprnn_keras
    Replaced:               lstm (LSTM), lstm_1 (LSTM) -> lstm_1 (DeepRNN, 2 layers), error 1.2e-07
    Not replaced:           cell: its cell has no equations
    Largest absolute error: 2.4e-07

    Attributes:
        model: Name of the model.
        to: Argument `to` of `convert`.
        replaced: The layers that were replaced.
        kept: {path of a layer that was not replaced: reason}.
        max_abs_error: Largest absolute difference between the outputs of the two models.
        notes: Remarks, for example on the optimizer.
    """

    model: str
    to: str
    replaced: tuple[Replacement, ...]
    kept: Mapping[str, str]
    max_abs_error: float
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        rows = [("Model", f"{self.model}, converted to {self.to}")]
        rows += [
            ("Replaced", f"{', '.join(one.before)} -> {', '.join(one.after)}, error {one.max_abs_error:.2g}")
            for one in self.replaced
        ]
        rows += [] if self.replaced else [("Replaced", "nothing")]
        rows += [("Not replaced", f"{path}: {reason}") for path, reason in self.kept.items()]
        rows += [("Largest absolute error", f"{self.max_abs_error:.2g}")]
        rows += [("Note", note) for note in self.notes]
        return "\n".join(f"{name + ':':<24}{value}" for name, value in rows)
