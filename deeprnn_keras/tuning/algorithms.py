"""The four algorithms: keras-tuner's oracles, within a budget and able to go on after a kill."""

import warnings

import numpy as np

from deeprnn_keras.tuning.keras_tuner_import import keras_tuner
from deeprnn_keras.tuning.oracles import RUNNING, STOPPED, Surviving
from deeprnn_keras.tuning.ranges import rounded


class RandomOracle(Surviving, keras_tuner.oracles.RandomSearchOracle):
    """Draws at random."""


class BayesianOracle(Surviving, keras_tuner.oracles.BayesianOptimizationOracle):
    """Draws where a Gaussian process expects much, or knows little, within the budget."""

    CANDIDATES = 256

    def populate_space(self, trial_id):
        """The process' proposal; where it is outside the budget or was tried, the best of many draws that are not."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="sklearn")
            found = super().populate_space(trial_id)
        if found.get("values") is None:
            return found
        values = {name: rounded(value) for name, value in found["values"].items()}
        if not self.feasible(values) or self._duplicate(values):
            values = self._best_draw()
        return {"status": STOPPED if values is None else RUNNING, "values": values}

    def _best_draw(self):
        draws = []
        while len(draws) < self.CANDIDATES:
            values = self._random_values()
            if values is None:  # little is left that was not tried
                break
            draws.append(values)
        if not draws or not hasattr(self.gpr, "X_train_"):
            return draws[0] if draws else None
        mean, deviation = self.gpr.predict(np.array([self._vector(values) for values in draws]), return_std=True)
        return draws[int(np.argmin(mean - self.beta * deviation))]

    def _vector(self, values):
        return [hp.value_to_prob(values.get(hp.name, hp.default)) for hp in self._nonfixed_space()]


class HyperbandOracle(Surviving, keras_tuner.oracles.HyperbandOracle):
    """Many short trials, of which the best are gone on with."""


class GridOracle(Surviving, keras_tuner.oracles.GridSearchOracle):
    """All combinations in order.

    keras-tuner waits for a trial to end before it looks for the next combination, since it may bring new
    hyper-parameters; here all are declared, so that workers need not wait, and what comes next follows from what was
    tried: nothing of it is lost in a kill.
    """

    def populate_space(self, trial_id):
        """The next combination that is within the budget and was not tried."""
        last = self.trials[self.start_order[-1]] if self.start_order else None
        if last is not None and not self.lost:
            values = self._get_next_combination(last.hyperparameters.values)
        else:
            space = self.get_space()
            values = {hp.name: hp.default for hp in space.space if space.is_active(hp)}
        while values is not None and (self._duplicate(values) or not self.feasible(values)):
            values = self._get_next_combination(values)
        return {"status": STOPPED if values is None else RUNNING, "values": values}


ORACLES = {"random": RandomOracle, "bayesian": BayesianOracle, "hyperband": HyperbandOracle, "grid": GridOracle}
