"""Zero-shot forecasters, which forecast series of any frequency without training on them."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from deeprnn_keras import Recipe
from deeprnn_keras.training import CosineDecay
from deeprnn_keras.zoo.registry import create_model, register
from deeprnn_keras.zoo.sequence_model import SequenceModelConfig

if TYPE_CHECKING:
    from deeprnn_keras.forecasting import ZeroShotForecaster


@dataclass(frozen=True, kw_only=True)
class ZeroShotConfig(SequenceModelConfig):
    """Network of a `ZeroShotForecaster`: deep RNN -> weights of simple forecasts and distances of quantiles."""

    task: str = "zero-shot"
    kind: str = "numbers"
    per_step: bool = True

    stored_as = "zero_shot"

    def create_forecaster(self, pretrained: bool, **options: Any) -> ZeroShotForecaster:
        """Return the forecaster with its trained weights.

        Args:
            pretrained: Must be True.
            options: Arguments of `ZeroShotForecaster`: `horizon`, `frequency`, `season`, `second_season`.

        Raises:
            ValueError: If `pretrained` is False, or an option is unknown.
        """
        from deeprnn_keras.forecasting import ZeroShotForecaster

        if not pretrained:
            raise ValueError(
                f"{self.name} forecasts without training on the series of a user; pass pretrained=True. To train its "
                f"network on synthetic series, run: deeprnn train {self.name}"
            )
        _, *known = signature(ZeroShotForecaster).parameters  # the first is the model
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(
                f"{unknown[0]} is not an option of {self.name}, which is not trained and reads no covariates; its "
                f"options are {', '.join(known)}"
            )
        return ZeroShotForecaster(create_model(self.name, pretrained=True), **options)


register(
    ZeroShotConfig(
        name="recurrent_forecaster_150k",
        params=145_296,
        title="Zero-shot forecaster: a GRU that weighs simple forecasts",
        paper="none: a configuration of this project, about the size of TinyCast (146,505 weights)",
        data="synthetic series, generated during training (deeprnn_keras.data.synthetic_series)",
        units=108,
        num_layers=2,
        cell="gru",
        inputs=72,
        outputs=144,
        recipe=Recipe(
            "adam",
            2e-3,
            global_clipnorm=1.0,
            batch_size=96,
            bptt=96,
            epochs=60,
            schedule=CosineDecay(final=0.02, warmup=0.03),
        ),
        limits="On 38 real series of statsmodels, sktime, and vega_datasets, its mean relative MASE is 0.772 (ETS: "
        "0.799, seasonal naive: 1); it is worse than seasonal naive on 6 of them "
        "(benchmarks/results/zero_shot/results.md).",
    )
)
