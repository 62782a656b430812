"""Tuners for the four search algorithms, named as in keras-tuner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from deeprnn_keras import checks, extras
from deeprnn_keras._types import PathLike
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner
from deeprnn_keras.tuning.resumable_tuner import ResumableTuner

if TYPE_CHECKING:
    from deeprnn_keras.tuning.study_tuner import StudyTuner


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

    >>> import tempfile
    >>> from deeprnn_keras.tuning import BayesianOptimization, HyperDeepRNN
    >>> hyper = HyperDeepRNN(inputs=2, outputs=1, loss="mse", num_layers=[1, 2], units=[4, 8], cell="rnn")
    >>> tuner = BayesianOptimization(hyper, "val_loss", max_trials=20, directory=tempfile.mkdtemp())
    >>> tuner.algorithm  # tuner.search(...) as in `RandomSearch`
    'bayesian'
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

    Raises:
        ValueError: If `max_epochs` is not a positive integer.

    >>> import tempfile
    >>> from deeprnn_keras.tuning import Hyperband, HyperDeepRNN
    >>> hyper = HyperDeepRNN(inputs=2, outputs=1, loss="mse", num_layers=[1, 2], units=[4, 8], cell="rnn")
    >>> tuner = Hyperband(hyper, "val_loss", max_epochs=9, directory=tempfile.mkdtemp())
    >>> tuner.max_epochs  # tuner.search(...) as in `RandomSearch`
    9
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

    >>> import tempfile
    >>> from deeprnn_keras.tuning import GridSearch, HyperDeepRNN
    >>> hyper = HyperDeepRNN(inputs=2, outputs=1, loss="mse", num_layers=[1, 2], units=[4, 8], cell="rnn")
    >>> tuner = GridSearch(hyper, "val_loss", max_trials=None, directory=tempfile.mkdtemp())
    >>> tuner.algorithm  # tuner.search(...) as in `RandomSearch`
    'grid'
    """

    algorithm = "grid"


TUNERS: dict[str, type[ResumableTuner]] = {
    "random": RandomSearch,
    "bayesian": BayesianOptimization,
    "hyperband": Hyperband,
    "grid": GridSearch,
}


def tuner(
    hypermodel: keras_tuner.HyperModel,
    *,
    algorithm: str = "bayesian",
    storage: PathLike | None = None,
    study: str | None = None,
    **options: Any,
) -> ResumableTuner | StudyTuner:
    """Return the tuner of an algorithm: on this machine, or with a storage on any number of machines.

    Args:
        hypermodel: A `HyperDeepRNN`; without a storage, any `keras_tuner.HyperModel`.
        algorithm: "random", "bayesian", "hyperband", or "grid"; with a storage, "random" or "bayesian".
        storage: URL of a database or path of a journal file that all machines share, see `StudyTuner`; None for a
            search on this machine, see `ResumableTuner`.
        study: Name of the study in the storage.
        **options: Further arguments of `StudyTuner`, or of `ResumableTuner`.

    Raises:
        ImportError: If Optuna or the driver of the database is missing; the message names the extra.
        ValueError: If an argument is not supported, or the storage or directory holds another search.

    >>> import tempfile
    >>> from deeprnn_keras.tuning import HyperDeepRNN, tuner
    >>> hyper = HyperDeepRNN(inputs=2, outputs=1, loss="mse", units=(2, 4))
    >>> type(tuner(hyper, algorithm="random", max_trials=2, directory=tempfile.mkdtemp())).__name__
    'RandomSearch'
    """
    if storage is None:
        if study is not None:
            raise ValueError(
                f"study={study!r} requires a storage: the URL of a database, or the path of a journal file"
            )
        checks.one_of("algorithm", algorithm, TUNERS)
        return TUNERS[algorithm](hypermodel, **options)
    if study is None:
        raise ValueError("storage requires study: the name of the search, which all machines pass")
    extras.import_optional("optuna", "optuna", "A search with a storage")
    from deeprnn_keras.tuning.study_tuner import StudyTuner

    return StudyTuner(hypermodel, storage=storage, study=study, algorithm=algorithm, **options)
