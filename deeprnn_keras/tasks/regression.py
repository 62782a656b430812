"""Task family for regression on series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import override

from deeprnn_keras.tasks.family import Configuration
from deeprnn_keras.tasks.registry import register
from deeprnn_keras.tasks.sequence import SequenceFamily, dataset_function

if TYPE_CHECKING:
    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.data.series import GeneratedSeries, LabeledSeries, SeriesSplit
    from deeprnn_keras.models import SequenceModel

MEMORY_TASKS = ("adding_split", "adding_stream")
"""Functions of `deeprnn_keras.data` with an argument `steps`."""


@register
class RegressionFamily(SequenceFamily):
    """Task family of models that predict real numbers from a series."""

    name = "regression"
    intended_use = "measurement of how long a recurrent network retains information"
    limits = "The task is artificial."
    kinds = ("numbers",)

    @override
    def load_data(self, config: Configuration | None, path: Path | None = None) -> SeriesSplit:
        """Load the data of a configuration, with as many steps as the model reads.

        Raises:
            ValueError: As for `SequenceFamily.load_data`.
        """
        length = getattr(config, "length", None)
        if config is None or config.corpus not in MEMORY_TASKS or length is None or path is not None:
            return super().load_data(config, path)
        return dataset_function(config.corpus)(steps=length)

    @override
    def batches(
        self,
        model: SequenceModel,
        part: LabeledSeries | GeneratedSeries,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int | None = None,
    ) -> Batches:
        """Return batches of series; those of a `GeneratedSeries` are drawn again for every epoch."""
        from deeprnn_keras.data.series import GeneratedSeries

        if isinstance(part, GeneratedSeries):
            return part.dataset(batch_size, seed=seed)
        return super().batches(model, part, batch_size, shuffle=shuffle, seed=seed)

    @override
    def score(self, model: SequenceModel, part: LabeledSeries) -> dict[str, float | int]:
        """Return the mean squared error over all outputs, and the number of series."""
        predictions = np.asarray(model.predict_labels(part.series))
        targets = np.asarray(part.targets).reshape(predictions.shape)
        return {"mse": float(np.mean((predictions - targets) ** 2)), "examples": len(part)}
