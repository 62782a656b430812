"""Tuners for the four search algorithms, named as in keras-tuner."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner
from deeprnn_keras.tuning.resumable_tuner import ResumableTuner


class RandomSearch(ResumableTuner):
    """Random search.

    It is a strong baseline for small numbers of trials, and every trial is informative about every hyperparameter.
    See `ResumableTuner` for the arguments.

    >>> import numpy as np, tempfile
    >>> from deeprnn_keras.tuning import HyperDeepRNN, RandomSearch
    >>> x, y = np.random.default_rng(0).normal(size=(32, 5, 2)), np.zeros((32, 1))
    >>> hyper = HyperDeepRNN(inputs=2, outputs=1, loss="mse", num_layers=(1, 2), units=(2, 4), cell="rnn")
    >>> tuner = RandomSearch(hyper, "val_loss", max_trials=2, directory=tempfile.mkdtemp())
    >>> tuner.search(x, y, validation_data=(x, y), epochs=1, verbose=0)
    >>> len(tuner.oracle.get_best_trials(5))
    2
    """

    algorithm = "random"


class BayesianOptimization(ResumableTuner):
    """Bayesian optimization with a Gaussian process. See `ResumableTuner` for the arguments.

    The first third of the trials, but at least three, is sampled at random; `num_initial_points` changes the number.
    """

    algorithm = "bayesian"

    @override
    def _oracle_options(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"num_initial_points": max(3, (self.max_trials or 0) // 3), **options}


class Hyperband(ResumableTuner):
    """Hyperband: many short trials, of which the best are continued (Li et al. 2018).

    A promoted trial continues with its weights, optimizer state, learning rate schedule, and random number generators,
    so that it equals an uninterrupted one. The schedule of every trial spans `max_epochs`.

    Args:
        hypermodel: See `ResumableTuner`.
        objective: See `ResumableTuner`.
        max_trials: See `ResumableTuner`.
        max_epochs: Number of epochs of the longest trials.
        **options: Further arguments of `ResumableTuner`.
    """

    algorithm = "hyperband"

    def __init__(
        self,
        hypermodel: keras_tuner.HyperModel,
        objective: str | keras_tuner.Objective = "val_loss",
        max_trials: int | None = None,
        *,
        max_epochs: int = 9,
        **options: Any,
    ) -> None:
        self.max_epochs = checks.positive_int("max_epochs", max_epochs)
        super().__init__(hypermodel, objective, max_trials, max_epochs=max_epochs, **options)


class GridSearch(ResumableTuner):
    """Grid search over all combinations, with ten values of each range of real numbers.

    See `ResumableTuner` for the arguments.
    """

    algorithm = "grid"


TUNERS: dict[str, type[ResumableTuner]] = {
    "random": RandomSearch,
    "bayesian": BayesianOptimization,
    "hyperband": Hyperband,
    "grid": GridSearch,
}
