"""The four search algorithms: keras-tuner's oracles with a budget and exact resuming."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
import numpy as np
from typing_extensions import override

from deeprnn_keras._types import Config
from deeprnn_keras.tuning.hyperparameters import round_value
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner
from deeprnn_keras.tuning.resumable_oracle import FAILED, RUNNING, STOPPED, ResumableOracle
from deeprnn_keras.tuning.trial_records import check_trial_id


class RoundTrial(TypedDict):
    """Trial of a round of Hyperband, and the trial that it continues."""

    id: str
    past_id: str | None


class BracketState(TypedDict):
    """State of a bracket of Hyperband."""

    bracket_num: Annotated[int, msgspec.Meta(ge=0)]
    rounds: list[list[RoundTrial]]


class HyperbandState(TypedDict):
    """Fields that Hyperband adds to the state of an oracle."""

    brackets: list[BracketState]
    current_bracket: Annotated[int, msgspec.Meta(ge=0)]
    current_iteration: Annotated[int, msgspec.Meta(ge=0)]


HyperbandValues = TypedDict(
    "HyperbandValues",
    {
        "tuner/epochs": Annotated[int, msgspec.Meta(ge=1)],
        "tuner/initial_epoch": Annotated[int, msgspec.Meta(ge=0)],
        "tuner/bracket": int,
        "tuner/round": int,
        "tuner/trial_id": NotRequired[str],
    },
)


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

    @override
    def check_state(self, state: Config) -> None:
        """Raise a ValueError if the brackets are not those of this search."""
        super().check_state(state)
        checked = msgspec.convert(state, HyperbandState)
        brackets = [*(bracket["bracket_num"] for bracket in checked["brackets"]), checked["current_bracket"]]
        if max(brackets) >= self._get_num_brackets():
            raise ValueError(f"a bracket must be below {self._get_num_brackets()}, got {brackets}")
        if checked["current_iteration"] >= self.hyperband_iterations:
            raise ValueError(f"current_iteration must be below {self.hyperband_iterations}")
        for bracket in checked["brackets"]:
            ids = {trial["id"] for trials in bracket["rounds"] for trial in trials}
            if len(bracket["rounds"]) != bracket["bracket_num"] + 1 or not ids <= set(state["start_order"]):
                raise ValueError(f"brackets: not the rounds of bracket {bracket['bracket_num']}")

    @override
    def check_trial(self, state: Config) -> None:
        """Raise an error if the trial has other epochs than Hyperband, or does not continue a trial."""
        super().check_trial(state)
        if state["status"] == FAILED:
            return
        checked = msgspec.convert(state["hyperparameters"]["values"], HyperbandValues)
        check_trial_id(checked.get("tuner/trial_id", "0"))
        if not checked["tuner/initial_epoch"] < checked["tuner/epochs"] <= self.max_epochs:
            raise ValueError(f"tuner/epochs must be at most {self.max_epochs}, got {checked['tuner/epochs']}")


class GridOracle(ResumableOracle, keras_tuner.oracles.GridSearchOracle):
    """Grid search: all combinations in order.

    keras-tuner waits for a trial to end before it proposes the next combination, since the trial may add
    hyperparameters. Here, all hyperparameters are declared in advance, so that workers do not wait. The next
    combination is derived from the last one; a resumed search starts again and skips those that have been tried.
    """

    _last_trial_id: str | None = None

    @override
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the next combination that is within the budget and has not been tried."""
        last = self.trials.get(self._last_trial_id or "")
        if last is not None:
            values = self._get_next_combination(last.hyperparameters.values)
        else:
            space = self.get_space()
            values = {hp.name: hp.default for hp in space.space if space.is_active(hp)}
        while values is not None and (self._duplicate(values) or not self.is_feasible(values)):
            values = self._get_next_combination(values)
        self._last_trial_id = trial_id
        return {"status": STOPPED if values is None else RUNNING, "values": values}


ORACLES: dict[str, type[ResumableOracle]] = {
    "random": RandomOracle,
    "bayesian": BayesianOracle,
    "hyperband": HyperbandOracle,
    "grid": GridOracle,
}
