"""Regression: numbers from series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras.tasks.registry import register
from deeprnn_keras.tasks.sequence import SequenceFamily

if TYPE_CHECKING:
    from deeprnn_keras.data.series import LabeledSeries
    from deeprnn_keras.models import SequenceModel


@register
class RegressionFamily(SequenceFamily):
    """Models that predict numbers from a series."""

    name = "regression"
    intended_use = "to see how far back a recurrent network remembers"
    limits = "The task is made up."
    kinds = ("numbers",)

    def score(self, model: SequenceModel, part: LabeledSeries) -> dict[str, float | int]:
        """Return the mean squared error over all numbers."""
        predicted = model.predict_labels(part.series)
        targets = np.asarray(part.targets).reshape(predicted.shape)
        return {"mse": float(np.mean((predicted - targets) ** 2)), "examples": len(part)}
