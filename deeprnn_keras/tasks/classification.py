"""Task family for the classification of series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import override

from deeprnn_keras.tasks.registry import register
from deeprnn_keras.tasks.sequence import SequenceFamily

if TYPE_CHECKING:
    from deeprnn_keras.data.series import LabeledSeries
    from deeprnn_keras.models import SequenceModel


@register
class ClassificationFamily(SequenceFamily):
    """Task family of models that predict the class of a series."""

    name = "classification"
    intended_use = "classification of series similar to the training data; comparison of recurrent networks"
    limits = "The model always predicts one of its classes, even for a series that belongs to none of them."
    kinds = ("classes", "binary")

    @override
    def score(self, model: SequenceModel, part: LabeledSeries) -> dict[str, float | int]:
        """Return the accuracy and the number of series."""
        correct = np.ravel(model.predict_labels(part.series)) == np.ravel(part.targets)
        return {"accuracy": float(np.mean(correct)), "examples": len(part)}
