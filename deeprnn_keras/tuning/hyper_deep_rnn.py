"""Hypermodel of a deep recurrent network."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from deeprnn_keras import checks, limits
from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.stack import layer_units
from deeprnn_keras.training.step_time import step_ms
from deeprnn_keras.tuning.budget import Budget, solve_units
from deeprnn_keras.tuning.custom_model_config import CustomModelConfig, Head, ModelConfig
from deeprnn_keras.tuning.hyperparameters import HyperParameters, HyperParameterSpec, round_value
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner
from deeprnn_keras.tuning.search_space import DEFAULTS, SearchSpace
from deeprnn_keras.tuning.step_times import StepTimes
from deeprnn_keras.tuning.trial_training import fit
from deeprnn_keras.tuning.tuned_forecaster import TunedForecaster

if TYPE_CHECKING:
    import keras
    import optuna

    from deeprnn_keras.training.recipe import Loss, Recipe

MAX_SOLVED_UNITS = 1 << 14  # maximum h if `units` is None


@dataclass(frozen=True)
class Candidate:
    """Model configuration for sampled hyperparameter values.

    Attributes:
        config: The configuration.
        num_params: Number of parameters, or None if it is not known before the model is built.
        overrides: New values of the fields that were replaced, by name.
        violation: Description of the violated limit of the budget, or None.
    """

    config: ModelConfig
    num_params: int | None
    overrides: dict[str, Any]
    violation: str | None = None


class HyperDeepRNN(keras_tuner.HyperModel):
    """`keras_tuner.HyperModel` of a deep recurrent network: L, h, cell, and training hyperparameters.

    Each hyperparameter is a range (low, high), a list of values, a single value, which fixes it, or None, which keeps
    the value of the tuned model. The default ranges follow the literature (Reimers & Gurevych 2017, Melis et al. 2018,
    Bai et al. 2018).

    The tuners of this package replace samples outside the budget before a model is built. With keras-tuner's own
    tuners, such a sample becomes a failed trial.

    Args:
        config: A configuration of the zoo, `zoo.info(name)`; a `TunedForecaster`; or None for a custom model, which the
            arguments from `inputs` to `options` describe.
        inputs: Number of features d, or (T, d); see `CustomModelConfig`.
        outputs: Number of outputs, or a head; see `CustomModelConfig`.
        loss: Loss, as in `compile`.
        metrics: Metrics, as in `compile`.
        return_sequences: If True, the head is applied to every step.
        recipe: Training recipe of a custom model.
        options: Further arguments of `DeepRNN` in a custom model.
        num_layers: Number of recurrent layers, L.
        units: Hidden units h of all layers, or, with tie_units=False, of each layer (`units_1`, ...).
        cell: Names of cells, or {"name": name, **options}.
        connection: Connections between layers, active only if L is at least 3.
        input_dropout: Dropout rate on the inputs X.
        dropout: Dropout rate between layers.
        output_dropout: Dropout rate before the head, on H^(L).
        learning_rate: Base learning rate.
        global_clipnorm: Global norm to clip gradients to.
        forget_bias: Initial bias of the keep gate, in cells that have one.
        batch_size: Batch size n for arrays and data functions (see `fit`). It has no effect on datasets.
        bptt: Number of steps T of a window for data functions (see `fit`). It has no effect on arrays and datasets.
        context: Number of steps before a forecast, T; only with a `TunedForecaster`.
        likelihood: Names of likelihoods; only with a `TunedForecaster`.
        tie_units: If True, all layers have the same h.
        params: Number of parameters of every model, within 3%. h is chosen to match it, within the bounds `units`.
        max_params: Maximum number of parameters.
        max_step_ms: Maximum duration of a training step on this machine, in milliseconds.

    Attributes:
        config: The configuration of the tuned model.
        budget: The limits of the search.
        space: The search space.

    Raises:
        ImportError: If the packages of the extra `tune` are missing.
        ValueError: If ranges are empty or contradictory, or no model is within the budget; the message then
            states the sizes of the nearest models.

    >>> from deeprnn_keras.tuning import HyperDeepRNN
    >>> hyper = HyperDeepRNN(inputs=8, outputs=1, loss="mse", num_layers=(1, 3), cell=["lstm", "gru"], params=20_000)
    >>> hyper.resolve({"num_layers": 3, "cell": "gru"}).overrides["units"]
    35
    """

    def __init__(
        self,
        config: ModelConfig | None = None,
        *,
        inputs: int | tuple[int | None, int] | None = None,
        outputs: Head | None = None,
        loss: Loss | None = None,
        metrics: Sequence[Any] = (),
        return_sequences: bool = False,
        recipe: Recipe | None = None,
        options: Config | None = None,
        num_layers: HyperParameterSpec = DEFAULTS["num_layers"],
        units: HyperParameterSpec = DEFAULTS["units"],
        cell: HyperParameterSpec = DEFAULTS["cell"],
        connection: HyperParameterSpec = DEFAULTS["connection"],
        input_dropout: HyperParameterSpec = DEFAULTS["input_dropout"],
        dropout: HyperParameterSpec = DEFAULTS["dropout"],
        output_dropout: HyperParameterSpec = DEFAULTS["output_dropout"],
        learning_rate: HyperParameterSpec = DEFAULTS["learning_rate"],
        global_clipnorm: HyperParameterSpec = DEFAULTS["global_clipnorm"],
        forget_bias: HyperParameterSpec = DEFAULTS["forget_bias"],
        batch_size: HyperParameterSpec = DEFAULTS["batch_size"],
        bptt: HyperParameterSpec = DEFAULTS["bptt"],
        context: HyperParameterSpec = DEFAULTS["context"],
        likelihood: HyperParameterSpec = DEFAULTS["likelihood"],
        tie_units: bool = True,
        params: int | None = None,
        max_params: int | None = None,
        max_step_ms: float | None = None,
    ) -> None:
        super().__init__(name=getattr(config, "name", "deep_rnn_model"))
        return_sequences, tie_units = checks.flags(return_sequences=return_sequences, tie_units=tie_units)
        required = {"inputs": inputs, "outputs": outputs, "loss": loss}
        self.config = _model_config(config, required, metrics, return_sequences, recipe, options)
        self.budget = Budget(params, max_params, max_step_ms)
        specs = {
            "num_layers": num_layers,
            "units": units,
            "cell": cell,
            "connection": _connection(self.config, connection, tie_units),
            "input_dropout": input_dropout,
            "dropout": dropout,
            "output_dropout": output_dropout,
            "learning_rate": learning_rate,
            "global_clipnorm": global_clipnorm,
            "forget_bias": forget_bias,
            "batch_size": batch_size,
            "bptt": bptt,
            "context": context,
            "likelihood": likelihood,
        }
        self.space = SearchSpace(
            specs, tie_units, params is not None, num_layers=self.config.num_layers, cell=self.config.cell
        )
        self._check_forecaster(max_step_ms)
        self._candidates: dict[tuple[tuple[str, Any], ...], Candidate] = {}
        self._step_times: StepTimes | None = None
        self._check_budget()

    def _check_forecaster(self, max_step_ms: float | None) -> None:
        """Raise a ValueError if arguments for forecasters have no effect or contradict each other."""
        if isinstance(self.config, TunedForecaster):
            if max_step_ms is not None:
                raise ValueError("max_step_ms is not supported with a TunedForecaster; use max_params")
            self.config.check_search(self.space.hyperparameters)
            return
        for name in ("context", "likelihood"):
            if name in self.space.hyperparameters:
                raise ValueError(f"{name} is a hyperparameter of a TunedForecaster; leave it out, or pass one")

    # === Search space ===
    def declare(self, hp: HyperParameters) -> dict[str, Any]:
        """Declare all hyperparameters in `hp` without building a model; return the values of the active ones."""
        return self.space.declare(hp)

    @override
    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Declare all hyperparameters; keras-tuner calls this before it builds a model."""
        self.declare(hp)

    def is_feasible(self, values: Mapping[str, Any]) -> bool:
        """Return whether the model for `values`, sampled values by name, is within the budget."""
        return self.resolve(values).violation is None

    def resolve(self, values: Mapping[str, Any]) -> Candidate:
        """Return the model configuration for `values`, sampled values by name, and the limit that it violates."""
        key = tuple(sorted((name, round_value(value)) for name, value in values.items() if "/" not in name))
        if key not in self._candidates:
            self._candidates[key] = self._resolve(dict(key))
        return self._candidates[key]

    def _resolve(self, values: Mapping[str, Any]) -> Candidate:
        overrides = self.space.overrides(values)
        if self.budget.params is not None:
            low, high = self._unit_bounds()
            overrides["units"] = solve_units(self._param_counter(overrides), self.budget.params, low, high)
        config = self.config.replace(**overrides)
        num_params = self._count_params(config)
        violation = None if num_params is None else limits.memory_problem(config.architecture(), num_params)
        if num_params is not None and self.budget.limits_size() and not self.budget.allows_size(num_params):
            violation = f"{config.architecture()} has {num_params:,} parameters"
        elif self._step_times is not None and not self._step_times.allows(overrides):
            violation = f"a training step takes more than {self.budget.max_step_ms:g} ms"
        return Candidate(config, num_params, overrides, violation)

    def _count_params(self, config: ModelConfig) -> int | None:
        if self.budget.limits_size():
            return config.count_params()
        layer_units(config.units, config.num_layers)  # raises an error for an invalid or very large number of layers
        try:
            return config.count_params()
        except ValueError:  # a cell without equations must be built to count its parameters
            return None

    def _unit_bounds(self) -> tuple[int, int]:
        units = self.space.hyperparameters.get("units")
        return (1, MAX_SOLVED_UNITS) if units is None else (int(units.low), int(units.high))

    def _param_counter(self, overrides: Mapping[str, Any]) -> Callable[[int], int]:
        return functools.lru_cache(1024)(lambda h: self.config.replace(**{**overrides, "units": h}).count_params())

    def _check_budget(self) -> None:
        """Raise a ValueError if no model is within the budget."""
        if any(self.resolve(values).violation is None for values in self.space.smallest_values()):
            return
        candidates = [self.resolve(values) for values in self.space.smallest_values()]
        if not self.budget.limits_size():
            raise ValueError(f"units and num_layers exclude all models: {candidates[0].violation}")
        sizes = sorted((candidate.num_params or 0, candidate.config.architecture()) for candidate in candidates)
        (min_params, smallest), (max_params, largest) = sizes[0], sizes[-1]
        name, limit = next(iter(self.budget.describe().items()))
        nearest = f"the smallest, {smallest}, has {min_params:,}"
        if self.budget.params is None:
            raise ValueError(f"{name}={limit:,}: all models in these ranges have more parameters; {nearest}")
        nearest += f", and the largest, {largest}, has {max_params:,}"
        raise ValueError(f"{name}={limit:,}: no model in these ranges has this number of parameters; {nearest}")

    # === Methods called by keras-tuner ===
    @override
    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the compiled model for the values in `hp`."""
        candidate = self.resolve(self.declare(hp))
        if candidate.violation is None:
            return candidate.config.build()
        # keras-tuner's own tuners cannot replace the sample: a small model is built, and `fit` fails the trial
        model = next(self.resolve(values) for values in self.space.smallest_values()).config.build()
        model.budget_violation = candidate.violation
        return model

    @override
    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        """Train the model. Arrays are reshuffled in every epoch.

        Args:
            hp: The values that `model` was built for.
            model: The result of `build`.
            *args: Arguments of `keras.Model.fit`. Instead of x, a data function may be passed, which is called with
                the recipe of the model (`batch_size`, `bptt`, ...) and returns (training data, validation data). None
                with a `TunedForecaster`, which holds its data.
            **kwargs: Arguments of `keras.Model.fit`.

        Returns:
            The history of `keras.Model.fit`.

        Raises:
            keras_tuner.errors.FailedTrialError: If the model is outside the budget.
        """
        if getattr(model, "budget_violation", None):
            raise keras_tuner.errors.FailedTrialError(f"outside the budget: {model.budget_violation}")
        config = self.resolve(self.declare(hp)).config
        if isinstance(config, TunedForecaster):
            return config.fit(model, *args, **kwargs)
        return fit(model, config.recipe, *args, **kwargs)

    def check_fit_arguments(self, **arguments: object) -> None:
        """Raise a TypeError if `fit` does not support an argument."""
        import keras

        parameters = inspect.signature(keras.Model.fit).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):  # `fit` was replaced
            return
        supported = parameters.keys() - {"self"}
        for name in arguments.keys() - supported:
            raise TypeError(f"search got an unexpected argument {name!r}{checks.suggestion(name, supported)}")

    # === Optuna ===
    def suggest(self, trial: optuna.trial.BaseTrial) -> keras_tuner.HyperParameters:
        """Sample values from the search space with an Optuna trial.

        Args:
            trial: The Optuna trial.

        Returns:
            The values as `keras_tuner.HyperParameters`, for `build` and `fit`.

        Raises:
            ImportError: If the packages of the extra `optuna` are missing.
            optuna.TrialPruned: If the model is outside the budget.

        >>> import optuna
        >>> from deeprnn_keras.tuning import HyperDeepRNN
        >>> hyper = HyperDeepRNN(inputs=8, outputs=1, loss="mse", units=(4, 8))
        >>> hp = hyper.suggest(optuna.trial.FixedTrial({"num_layers": 1, "units": 8, "cell": "rnn",
        ...                                             "learning_rate": 0.01, "global_clipnorm": 1.0}))
        >>> hyper.build(hp).count_params()
        145
        """
        from deeprnn_keras.tuning.optuna_engine import suggest_hyperparameters

        return suggest_hyperparameters(self, trial)

    # === Step times ===
    def enable_step_time_limit(self, batch: tuple[Any, ...], file: PathLike | None = None) -> None:
        """Enforce `max_step_ms` for configurations that are resolved from now on.

        Args:
            batch: Batch of training data on which steps are measured: (x, y) or (x, y, sample_weight).
            file: File for the measurements, or None.
        """
        if self.budget.max_step_ms is None:
            return
        self._candidates.clear()
        self._step_times = StepTimes(self.budget.max_step_ms, functools.partial(self._step_ms, batch), file)

    def _step_ms(self, batch: tuple[Any, ...], overrides: dict[str, Any]) -> float:
        return step_ms(self.config.replace(**overrides).build(), batch)

    # === Description ===
    def describe(self) -> Config:
        """Return the model, the search space, and the budget as JSON values; a search with others is not resumed."""
        return {
            "model": self.name,
            "config": _describe_config(self.config),
            "space": self.space.describe(),
            "budget": self.budget.describe(),
        }


def _connection(config: ModelConfig, spec: HyperParameterSpec, tie_units: bool) -> HyperParameterSpec:
    """Return the specification of the connection, None for a model whose normalization connects the layers.

    Raises:
        ValueError: If other connections or widths are requested than such a model supports.
    """
    normalization = getattr(config, "normalization", None)
    if normalization is None:
        return spec
    if not tie_units or spec not in (DEFAULTS["connection"], None, "stack"):
        raise ValueError(
            f"{config.name} has normalization={normalization!r}, whose residual layers require equal units and "
            f"connection='stack'; leave out connection and tie_units, got connection={spec!r} and tie_units={tie_units}"
        )
    return None


def _model_config(
    config: ModelConfig | None,
    required: Mapping[str, Any],
    metrics: Sequence[Any],
    return_sequences: bool,
    recipe: Recipe | None,
    options: Config | None,
) -> ModelConfig:
    """Return the zoo configuration, or that of a custom model; `required` holds inputs, outputs, and loss."""
    missing = [name for name, value in required.items() if value is None]
    if config is not None:
        if len(missing) < len(required):
            raise ValueError(
                f"pass a configuration of the zoo, or {', '.join(required)} for a custom model; got config and "
                f"{', '.join(name for name in required if name not in missing)}"
            )
        return config
    if missing:
        raise ValueError(f"a custom model requires inputs, outputs, and loss; missing: {', '.join(missing)}")
    recipe_option: dict[str, Any] = {} if recipe is None else {"recipe": recipe}
    return CustomModelConfig(
        required["inputs"],
        required["outputs"],
        required["loss"],
        tuple(metrics),
        return_sequences=return_sequences,
        options=dict(options or {}),
        **recipe_option,
    )


def _describe_config(config: ModelConfig) -> Config:
    """Return the fields of a configuration as JSON values."""
    if isinstance(config, TunedForecaster):
        return config.describe()
    return {field.name: _describe(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _describe(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return [_describe(part) for part in value]
    if type(value).__repr__ is object.__repr__ or callable(value):  # their repr contains a memory address
        return getattr(value, "__qualname__", type(value).__qualname__)
    return value if isinstance(value, (bool, int, float, type(None))) else str(value)
