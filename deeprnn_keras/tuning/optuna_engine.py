"""Search with Optuna's samplers, storage, and pruners over the same search space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import keras
from typing_extensions import override

from deeprnn_keras import checks, extras
from deeprnn_keras._types import Logs
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner

if TYPE_CHECKING:
    import optuna

    from deeprnn_keras.tuning.hyper_deep_rnn import HyperDeepRNN

Value = TypeVar("Value")


class OptunaHyperParameters:
    """Optuna trial with the interface of `keras_tuner.HyperParameters`.

    A hyperparameter in an inactive scope is not sampled, and its value is None.

    Args:
        trial: The Optuna trial.

    Attributes:
        values: The sampled values, by name.
    """

    def __init__(self, trial: optuna.trial.BaseTrial) -> None:
        self.values: dict[str, Any] = {}
        self._trial, self._active = trial, [True]

    @contextmanager
    def conditional_scope(self, parent_name: str, parent_values: Sequence[Any]) -> Iterator[None]:
        """Activate declarations in the block only if the parent has one of the values."""
        self._active.append(self._active[-1] and self.values.get(parent_name) in parent_values)
        try:
            yield
        finally:
            self._active.pop()

    def _sample(self, name: str, suggest: Callable[[], Value]) -> Value | None:
        if not self._active[-1]:
            return None
        value = self.values[name] = suggest()
        return value

    def Fixed(self, name: str, value: Value) -> Value | None:
        """Declare a fixed value."""
        return self._sample(name, lambda: value)

    def Choice(self, name: str, values: list[Any]) -> bool | float | str | None:
        """Sample one of the values."""
        return self._sample(name, lambda: self._trial.suggest_categorical(name, values))

    def Int(self, name: str, min_value: int, max_value: int, *, sampling: str = "linear") -> int | None:
        """Sample an integer in [min_value, max_value]."""
        return self._sample(name, lambda: self._trial.suggest_int(name, min_value, max_value, log=sampling == "log"))

    def Float(self, name: str, min_value: float, max_value: float, *, sampling: str = "linear") -> float | None:
        """Sample a real number in [min_value, max_value]."""
        return self._sample(name, lambda: self._trial.suggest_float(name, min_value, max_value, log=sampling == "log"))


def suggest_hyperparameters(hyper: HyperDeepRNN, trial: optuna.trial.BaseTrial) -> keras_tuner.HyperParameters:
    """Sample values with an Optuna trial; return them as `keras_tuner.HyperParameters`, for `hyper.build`.

    Args:
        hyper: The hypermodel.
        trial: The Optuna trial.

    Raises:
        ImportError: If the packages of the extra `optuna` are missing.
        optuna.TrialPruned: If the model is outside the budget.
    """
    optuna = extras.import_optional("optuna", "optuna", "The Optuna engine")
    samples = OptunaHyperParameters(trial)
    candidate = hyper.resolve(hyper.declare(samples))
    if candidate.violation is not None:
        raise optuna.TrialPruned(f"outside the budget: {candidate.violation}")
    hp = keras_tuner.HyperParameters()
    hp.values = dict(samples.values)
    hyper.declare(hp)
    return hp


def optuna_objective(
    hyper: HyperDeepRNN,
    *args: Any,
    objective: str = "val_loss",
    direction: str = "min",
    seed: int = 0,
    **kwargs: Any,
) -> Callable[[optuna.Trial], float]:
    """Return an objective function for `optuna.Study.optimize`, which trains a model and reports every epoch.

    The number of parameters of the model is stored in the attribute `num_params` of the trial.

    Args:
        hyper: The hypermodel.
        *args: Arguments of `HyperDeepRNN.fit`.
        objective: Name of a metric in the history; the value of the best epoch is returned.
        direction: "min" or "max", as in the study.
        seed: Random seed of initialization, shuffling, and dropout, the same for every trial.
        **kwargs: Arguments of `HyperDeepRNN.fit`.

    Returns:
        A function from an Optuna trial to the objective. It raises `optuna.TrialPruned` if the study's pruner stops
        the trial or the model is outside the budget.

    Raises:
        ImportError: If the packages of the extra `optuna` are missing.
        ValueError: If `seed` is not a nonnegative integer, or `direction` is not supported.

    >>> import numpy as np, optuna
    >>> from deeprnn_keras.tuning import HyperDeepRNN, optuna_objective
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> x, y = np.random.default_rng(0).normal(size=(32, 5, 2)), np.zeros((32, 1))
    >>> hyper = HyperDeepRNN(inputs=2, outputs=1, loss="mse", num_layers=1, units=(2, 4), cell="rnn")
    >>> study = optuna.create_study()       # pass storage="sqlite:///search.db" to resume after a kill
    >>> study.optimize(optuna_objective(hyper, x, y, validation_data=(x, y), epochs=1), n_trials=1)
    >>> sorted(study.best_params)
    ['global_clipnorm', 'learning_rate', 'units']
    """
    seed = checks.non_negative_int("seed", seed)
    optuna = extras.import_optional("optuna", "optuna", "The Optuna engine")
    best_of = min if checks.one_of("direction", direction, ("min", "max")) == "min" else max

    def run(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        hp = hyper.suggest(trial)
        model = hyper.build(hp)
        trial.set_user_attr("num_params", model.count_params())
        callback = _PruningCallback(trial, objective)
        history = hyper.fit(hp, model, *args, seed=seed, callbacks=[callback], **kwargs).history
        if callback.pruned:
            raise optuna.TrialPruned
        return best_of(history[objective])

    return run


class _PruningCallback(keras.callbacks.Callback):
    """Report the objective after each epoch, and stop training if the study's pruner prunes the trial."""

    def __init__(self, trial: optuna.Trial, objective: str) -> None:
        super().__init__()
        self._trial, self._objective, self.pruned = trial, objective, False

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._trial.report(float((logs or {})[self._objective]), epoch)
        if epoch + 1 < self.params["epochs"] and self._trial.should_prune():
            self.pruned = self.model.stop_training = True
