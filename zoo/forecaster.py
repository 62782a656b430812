"""`ForecasterConfig`: configuration of a `Forecaster`; `create_forecaster` returns it by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras.zoo.registry import list_models, models, trained_weights
from deeprnn_keras.zoo.sequence_model import SequenceModelConfig
from deeprnn_keras.zoo.zero_shot import ZeroShotConfig

if TYPE_CHECKING:
    import keras

    from deeprnn_keras import Forecaster
    from deeprnn_keras.forecasting import ZeroShotForecaster

OF_THE_DATA = ("frequency", "season", "static", "past", "known_future", "validation_windows", "seed")
"""Arguments of `Forecaster` that depend on the data of the user and are not part of a configuration."""


@dataclass(frozen=True, kw_only=True)
class ForecasterConfig(SequenceModelConfig):
    """Forecaster: deep RNN -> parameters of a distribution of the next steps.

    `inputs` and `outputs` are those of hourly series of two years without covariates. Those of a `Forecaster` follow
    from its data.

    Attributes:
        horizon: As in `Forecaster`.
        likelihood: Name of the likelihood, as in `Forecaster`.
        strategy: As in `Forecaster`.
        context: As in `Forecaster`.
        calendar: As in `Forecaster`.
        scaling: As in `Forecaster`.
        scaler: As in `Forecaster`.
        missing_flag: As in `Forecaster`.
        lags: As in `Forecaster`.
        scale_input: As in `Forecaster`.
        difference: As in `Forecaster`.
        patience: As in `Forecaster`.
        updates_per_epoch: As in `Forecaster`.
        head_activation: Activation of the hidden layers of the head.
    """

    task: str = "forecasting"
    kind: str = "numbers"
    horizon: int
    likelihood: str
    strategy: str
    context: int | None = None
    calendar: bool = True
    scaling: str | None = "window"
    scaler: str = "standard"
    missing_flag: bool = True
    lags: tuple[int, ...] | None = None
    scale_input: bool | None = None
    difference: bool | None = None
    patience: int | None = None
    updates_per_epoch: int | None = None
    head_activation: str = "relu"

    stored_as = "forecaster"

    def __post_init__(self) -> None:
        for name in ("scale_input", "difference"):
            if getattr(self, name) is not None:
                checks.store(self, **{name: checks.flag(name, getattr(self, name))})
        super().__post_init__()
        checks.store(self, horizon=checks.positive_int("horizon", self.horizon))
        for name in ("context", "patience", "updates_per_epoch"):
            checks.store(self, **{name: checks.positive_int_or_none(name, getattr(self, name))})

    @override
    def output_description(self) -> str:
        if self.outputs == 1:
            return "1 number"
        return f"{self.outputs} parameters of the {self.likelihood.replace('_', ' ')} distribution"

    @override
    def build_model(self) -> keras.Model:
        from deeprnn_keras import SequenceModel

        names = ("kind", "per_step", "length", "output_dropout", "head_units", "head_activation", "dropout", "name")
        return SequenceModel(
            self.inputs,
            self.outputs,
            self.units,
            self.num_layers,
            self.cell,
            **{name: getattr(self, name) for name in names},
            **self.initialization.arguments(self.cell),
        )

    @override
    def build(self) -> keras.Model:
        """Return the network, compiled with the recipe and the likelihood."""
        model = self.build_model()
        self.recipe.compile(model, self.create_forecaster().likelihood)
        model.configuration = self
        return model

    def create_forecaster(self, **options: Any) -> Forecaster:
        """Return the forecaster.

        Args:
            options: Arguments of `Forecaster` that depend on the data: `frequency`, `season`, `static`, `past`,
                `known_future`, `validation_windows`, `seed`.
        """
        from deeprnn_keras import Forecaster

        names = (
            "strategy",
            "context",
            "calendar",
            "scaling",
            "scaler",
            "missing_flag",
            "lags",
            "scale_input",
            "difference",
            "patience",
            "updates_per_epoch",
        )
        names = (*names, "dropout", "output_dropout", "head_units", "head_activation", "recipe")
        return Forecaster(
            self.horizon,
            self.cell,
            self.units,
            self.num_layers,
            self.likelihood,
            **{name: getattr(self, name) for name in names},
            name=self.name,
            **options,
        )


@overload
def create_forecaster(  # pyright: ignore[reportOverlappingOverload] - a type checker takes the first that fits
    name: Literal["recurrent_forecaster_150k"], pretrained: bool = False, **overrides: Any
) -> ZeroShotForecaster: ...
@overload
def create_forecaster(name: str, pretrained: bool = False, **overrides: Any) -> Forecaster: ...
def create_forecaster(name: str, pretrained: bool = False, **overrides: Any) -> Forecaster | ZeroShotForecaster:
    """Return a forecaster of the zoo: one to `fit`, or a `ZeroShotForecaster`, which forecasts without training.

    Args:
        name: One of `list_models(task="forecasting")` or `list_models(task="zero-shot")`.
        pretrained: If True, load trained weights; required for a zero-shot forecaster. A `Forecaster` has then read no
            series: pass the history of series, of the frequency of the training data, to `forecast(df)` or
            `evaluate(df)`. Its `fit` trains a new network.
        overrides: Other values for fields of the configuration (`horizon`, `units`, `context`, …), for fields of its
            recipe (`learning_rate`, `epochs`, …), or for the arguments of `Forecaster` that depend on the data
            (`frequency`, `season`, `static`, `past`, `known_future`, `validation_windows`, `seed`). For a zero-shot
            forecaster: the arguments of `ZeroShotForecaster`.

    Raises:
        ValueError: If the name or a field is unknown, a value is out of range, trained weights are required and
            `pretrained` is False, or no trained weights fit the overrides and it is True.

    >>> from deeprnn_keras import zoo
    >>> zoo.create_forecaster("deepar", horizon=12, units=8)
    Forecaster(horizon=12, cell='lstm', units=8, num_layers=2, likelihood='student_t', strategy='recursive'): ...
    """
    config, pretrained = models()[name], checks.flag("pretrained", pretrained)
    if isinstance(config, ZeroShotConfig):
        return config.create_forecaster(pretrained, **overrides)
    if not isinstance(config, ForecasterConfig):
        known = ", ".join([*list_models(task="forecasting"), *list_models(task="zero-shot")])
        raise ValueError(f"{name} is not a forecaster; the forecasters are {known}")
    determined = sorted({"inputs", "outputs", "per_step", "kind"} & set(overrides))
    if determined:
        raise ValueError(
            f"{determined[0]} of a forecaster follows from its data, strategy, and likelihood; leave it out"
        )
    options = {key: overrides.pop(key) for key in OF_THE_DATA if key in overrides}
    config = config.replace(**overrides)
    return _pretrained(config, options) if pretrained else config.create_forecaster(**options)


def _pretrained(config: ForecasterConfig, options: dict[str, Any]) -> Forecaster:
    """Return the forecaster of a configuration with its trained weights."""
    fixed = sorted(set(options) - {"seed"})
    if fixed:
        raise ValueError(f"{fixed[0]} is that of the training data with pretrained=True; leave it out, or call fit(df)")
    record = trained_weights(config)
    forecaster, model = config.create_forecaster(**options), config.build()
    record.load(model)
    return forecaster._restore(model, record.fitted)
