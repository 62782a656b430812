"""Task family of forecasters that are trained on synthetic series and forecast others without further training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import override

from deeprnn_keras.tasks.family import Configuration, Family
from deeprnn_keras.tasks.registry import register
from deeprnn_keras.tasks.run import Split

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.forecasting.combination import CombinedQuantiles

UPDATES_PER_EPOCH = 25
TRAIN, TEST = 1, 2  # parts of the random seeds
TEST_SEED, TEST_BATCHES = 0, 12


@register
class ZeroShotFamily(Family):
    """Task family of zero-shot forecasters, which `deeprnn train` trains on synthetic series."""

    name = "zero-shot"
    intended_use = "forecasts with intervals of series of any frequency, without training"
    limits = (
        "The network reads no covariates. It has been trained on synthetic series only; compare it with seasonal naive "
        "by evaluate."
    )

    @override
    def accepts(self, model: keras.Model) -> bool:
        """Return whether a model has the inputs and outputs of a `ZeroShotForecaster`."""
        from deeprnn_keras.forecasting.combination import NUM_OUTPUTS
        from deeprnn_keras.forecasting.origin_inputs import NUM_INPUTS
        from deeprnn_keras.models import SequenceModel

        sizes = (NUM_INPUTS, NUM_OUTPUTS)
        return isinstance(model, SequenceModel) and (model.input_shape[-1], model.output_shape[-1]) == sizes

    @override
    def load_data(self, config: Configuration | None, path: Path | None = None) -> Split:
        """Return the parts of the synthetic data, which are generated during training.

        Raises:
            ValueError: If a file is passed.
        """
        if path is not None:
            name = "the model" if config is None else config.name
            raise ValueError(f"{name} is trained on synthetic series and reads no file; leave out --data")
        return Split(train=TRAIN, test=TEST, name="synthetic series")

    @override
    def loss(self, model: keras.Model) -> CombinedQuantiles:
        """Return the pinball loss of the combined forecasts."""
        from deeprnn_keras.forecasting.combination import CombinedQuantiles

        return CombinedQuantiles()

    @override
    def metrics(self, model: keras.Model) -> list[Any]:
        """Return no metrics."""
        return []

    @override
    def batches(
        self, model: keras.Model, part: int, batch_size: int, *, shuffle: bool = True, seed: int | None = None
    ) -> Batches:
        """Return batches of synthetic series: new ones in every epoch of training, always the same ones of the test."""
        from deeprnn_keras.forecasting.synthetic_windows import synthetic_batches

        if part == TEST:
            return synthetic_batches(batch_size, TEST_BATCHES, (TEST, TEST_SEED))
        return synthetic_batches(batch_size, UPDATES_PER_EPOCH, (TRAIN, seed or 0))

    @override
    def score(self, model: keras.Model, part: int) -> dict[str, float | int]:
        """Return the error relative to seasonal naive and the coverage of the 80% interval on synthetic series.

        The error of a batch is the sum of the absolute errors of the median forecasts, weighted as in training.
        """
        from deeprnn_keras.forecasting.combination import PROBABILITIES, targets_and_forecasts

        low, middle, high = (PROBABILITIES.index(probability) for probability in (0.1, 0.5, 0.9))
        sums = np.zeros(4)
        for x, y in self.batches(model, part, 64):
            weight, value, quantiles = map(np.asarray, targets_and_forecasts(y, model(x, training=False)))
            quantiles = np.sort(quantiles, axis=-1)
            inside = (value >= quantiles[..., low]) & (value <= quantiles[..., high])
            errors = np.abs(value - quantiles[..., middle]), np.abs(value), inside, np.ones_like(value)
            sums += [np.sum(weight * error) for error in errors]
        return {"MAE / seasonal naive": sums[0] / sums[1], "coverage of 80 %": sums[2] / sums[3]}
