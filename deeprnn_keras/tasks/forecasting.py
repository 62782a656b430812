"""Task family of the networks of forecasters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from typing_extensions import override

from deeprnn_keras.tasks.family import Configuration, Family
from deeprnn_keras.tasks.registry import register


@register
class ForecastingFamily(Family):
    """Task family of forecasters, which `deeprnn forecast` and `Forecaster.fit` train on the series of a user."""

    name = "forecasting"
    intended_use = "forecasts of series with intervals, after training on the user's own series"
    limits = "A network trained on few seasons is often no better than seasonal naive; compare them with evaluate."

    @override
    def load_data(self, config: Configuration | None, path: Path | None = None) -> NoReturn:
        """Raise a ValueError: no data belong to a forecaster."""
        raise ValueError(_remedy("the model" if config is None else config.name))

    @override
    def check_options(self, config: Configuration, options: Mapping[str, Any]) -> NoReturn:
        """Raise a ValueError: `deeprnn train` does not support forecasters."""
        raise ValueError(_remedy(config.name))


def _remedy(name: str) -> str:
    return (
        f"{name} forecasts series and has no data of its own; train it with deeprnn forecast {name} --csv FILE, or in "
        f"a script with zoo.create_forecaster({name!r}).fit(df)"
    )
