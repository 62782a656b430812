"""Samplers of a shared search."""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from typing_extensions import override

from deeprnn_keras.tuning.places import ATTEMPT, PLACE

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

MIN_RANDOM_TRIALS = 3  # of a Bayesian search; a third of all trials, if that is more


class PlaceSampler(optuna.samplers.BaseSampler):
    """Random search whose draws are functions of the seed, the place of the trial, and the hyperparameter's name.

    A search therefore draws the same values in one process as on many machines.

    Args:
        seed: Seed of the study.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    @override
    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    @override
    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    @override
    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> bool | int | float | str | None:
        return _draw(np.random.default_rng(self._seeds(trial, param_name)), param_distribution)

    def _seeds(self, trial: FrozenTrial, name: str) -> list[int]:
        return [self.seed, trial.user_attrs[PLACE], trial.user_attrs[ATTEMPT], zlib.crc32(name.encode())]


class BayesianPlaceSampler(PlaceSampler):
    """Tree-structured Parzen estimator (Bergstra et al. 2011) after some random trials.

    Running trials count as bad ones, so that workers draw different values. The random numbers depend on the place
    of the trial, as in `PlaceSampler`; workers with a common generator would all draw the same values.

    Args:
        seed: Seed of the study.
        num_random: Number of ended trials before the estimator is used.
    """

    def __init__(self, seed: int, num_random: int) -> None:
        super().__init__(seed)
        self.num_random = num_random

    @override
    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> bool | int | float | str | None:
        ended = sum(other.value is not None for other in study.get_trials(deepcopy=False))
        if ended < self.num_random:
            return super().sample_independent(study, trial, param_name, param_distribution)
        seed = int(np.random.default_rng(self._seeds(trial, param_name)).integers(2**31))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of constant_liar
            estimator = optuna.samplers.TPESampler(n_startup_trials=0, seed=seed, constant_liar=True)
        return estimator.sample_independent(study, trial, param_name, param_distribution)


def _draw(rng: np.random.Generator, distribution: BaseDistribution) -> bool | int | float | str | None:
    """Draw a value of one of the three kinds of distributions that the search space declares."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(rng.integers(len(distribution.choices)))]
    if isinstance(distribution, FloatDistribution):
        low, high = distribution.low, distribution.high
        return math.exp(rng.uniform(math.log(low), math.log(high))) if distribution.log else rng.uniform(low, high)
    assert isinstance(distribution, IntDistribution)
    low, high = distribution.low, distribution.high
    if not distribution.log:
        return int(rng.integers(low, high + 1))
    return min(max(round(math.exp(rng.uniform(math.log(low - 0.5), math.log(high + 0.5)))), low), high)


SAMPLERS: dict[str, Callable[[int, int], PlaceSampler]] = {
    "random": lambda seed, num_trials: PlaceSampler(seed),
    "bayesian": lambda seed, num_trials: BayesianPlaceSampler(seed, max(MIN_RANDOM_TRIALS, num_trials // 3)),
}
"""Functions of (seed, number of trials) that create the sampler of an algorithm."""
