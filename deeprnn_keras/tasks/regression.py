"""Task family for regression on series."""

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
class RegressionFamily(SequenceFamily):
    """Task family of models that predict real numbers from a series."""

    name = "regression"
    intended_use = "measurement of how long a recurrent network retains information"
    limits = "The task is artificial."
    kinds = ("numbers",)

    @override
    def score(self, model: SequenceModel, part: LabeledSeries) -> dict[str, float | int]:
        """Return the mean squared error over all outputs, and the number of series."""
        predictions = np.asarray(model.predict_labels(part.series))
        targets = np.asarray(part.targets).reshape(predictions.shape)
        return {"mse": float(np.mean((predictions - targets) ** 2)), "examples": len(part)}
