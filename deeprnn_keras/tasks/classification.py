"""Classification of series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras.tasks.registry import register
from deeprnn_keras.tasks.sequence import SequenceFamily

if TYPE_CHECKING:
    from deeprnn_keras.data.series import LabeledSeries
    from deeprnn_keras.models import SequenceModel


@register
class ClassificationFamily(SequenceFamily):
    """Models that predict the class of a series."""

    name = "classification"
    intended_use = "to tell the classes of sequences like those of its data; to compare recurrent networks"
    limits = "It answers with one of its classes whatever it is given, also what belongs to none."
    kinds = ("classes", "binary")

    def score(self, model: SequenceModel, part: LabeledSeries) -> dict[str, float | int]:
        """Return the accuracy, every series counted alike."""
        correct = np.ravel(model.predict_labels(part.series)) == np.ravel(part.targets)
        return {"accuracy": float(np.mean(correct)), "examples": len(part)}
