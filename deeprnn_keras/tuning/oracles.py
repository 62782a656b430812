"""The four search algorithms: keras-tuner's oracles with a budget and exact resuming."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from typing_extensions import override

from deeprnn_keras.tuning.hyperparameters import round_value
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner
from deeprnn_keras.tuning.resumable_oracle import RUNNING, STOPPED, ResumableOracle


class RandomOracle(ResumableOracle, keras_tuner.oracles.RandomSearchOracle):
    """Random search."""


class BayesianOracle(ResumableOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """Bayesian optimization with a Gaussian process and the lower confidence bound, within the budget."""

    NUM_CANDIDATES = 256

    @override
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return keras-tuner's proposal or, if that is outside the budget or a duplicate, the best of many samples."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="sklearn")
            proposal = super().populate_space(trial_id)
        if proposal.get("values") is None:
            return proposal
        values: dict[str, Any] | None = {name: round_value(value) for name, value in proposal["values"].items()}
        for hp in self.get_space().space:  # keras-tuner also proposes max_value + 1 of integers
            if hasattr(hp, "max_value") and values.get(hp.name) is not None:
                values[hp.name] = min(values[hp.name], hp.max_value)
        if not self.is_feasible(values) or self._duplicate(values):
            values = self._best_sample()
        return {"status": STOPPED if values is None else RUNNING, "values": values}

    def _best_sample(self) -> dict[str, Any] | None:
        samples: list[dict[str, Any]] = []
        while len(samples) < self.NUM_CANDIDATES:
            values = self._random_values()
            if values is None:  # hardly any untried values are left
                break
            samples.append(values)
        if not samples or not hasattr(self.gpr, "X_train_"):
            return samples[0] if samples else None
        mean, std = self.gpr.predict(np.array([self._vector(values) for values in samples]), return_std=True)
        return samples[int(np.argmin(mean - self.beta * std))]

    def _vector(self, values: dict[str, Any]) -> list[float]:
        return [hp.value_to_prob(values.get(hp.name, hp.default)) for hp in self._nonfixed_space()]


class HyperbandOracle(ResumableOracle, keras_tuner.oracles.HyperbandOracle):
    """Hyperband: many short trials, of which the best are continued."""


class GridOracle(ResumableOracle, keras_tuner.oracles.GridSearchOracle):
    """Grid search: all combinations in order.

    keras-tuner waits for a trial to end before it proposes the next combination, since the trial may add
    hyperparameters. Here, all hyperparameters are declared in advance, so that workers do not wait. The next
    combination is derived from the recorded trials, so that a resumed search skips none.
    """

    @override
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the next combination that is within the budget and has not been tried."""
        last = self.trials[self.start_order[-1]] if self.start_order else None
        if last is not None and not self.damaged_trials:
            values = self._get_next_combination(last.hyperparameters.values)
        else:
            space = self.get_space()
            values = {hp.name: hp.default for hp in space.space if space.is_active(hp)}
        while values is not None and (self._duplicate(values) or not self.is_feasible(values)):
            values = self._get_next_combination(values)
        return {"status": STOPPED if values is None else RUNNING, "values": values}


ORACLES: dict[str, type[ResumableOracle]] = {
    "random": RandomOracle,
    "bayesian": BayesianOracle,
    "hyperband": HyperbandOracle,
    "grid": GridOracle,
}
