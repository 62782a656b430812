"""Budgets: models of equal size over every L and cell, limits, and draws outside them."""

import itertools

import keras
import keras_tuner
import pytest
from tunable import objective

from deeprnn_keras import count_params, zoo
from deeprnn_keras.specs import CELLS
from deeprnn_keras.tuning import HyperDeepRNN, RandomSearch
from deeprnn_keras.tuning.budget import solve_units
from deeprnn_keras.tuning.step_times import StepTimes

OWN = {"inputs": 16, "outputs": 3, "loss": "mse"}
LEFT_OUT = dict.fromkeys(("connection", "dropout", "learning_rate", "global_clipnorm", "forget_bias"))
NAMES = [name for name in CELLS.names() if CELLS[name].gates or CELLS[name].equations]


@pytest.mark.parametrize("cell", NAMES)
def test_every_model_has_the_requested_number_of_weights(cell):
    """params=200_000 within 3 %, over L = 1 to 4; built they have as many as counted."""
    hyper = HyperDeepRNN(**OWN, num_layers=(1, 4), units=None, cell=cell, params=200_000, **LEFT_OUT)
    for layers in (1, 2, 3, 4):
        hp = keras_tuner.HyperParameters()
        hp.values = {"num_layers": layers, "cell": cell}
        weights = hyper.resolve(hp.values).weights
        assert abs(weights - 200_000) <= 6_000, (cell, layers, weights)
        if layers in (1, 3):
            assert hyper.build(hp).count_params() == weights
            keras.backend.clear_session()


def test_zoo_models_have_the_requested_number_of_weights():
    """Embedding and head count: here the h that is left for the recurrent layers."""
    hyper = HyperDeepRNN(zoo.info("kjv_lstm_2x256"), num_layers=(1, 4), units=None, params=200_000)
    for values in hyper.space.corners():
        found = hyper.resolve(values)
        assert found.problem is None and abs(found.weights - 200_000) <= 6_000
        assert found.config.count_params() == found.weights


@pytest.mark.parametrize("target", [50, 1_000, 123_456, 10_000_000])
def test_solved_h_is_the_nearest(target):
    def count(h):
        return count_params(7, h, num_layers=3, cell="gru")

    solved = solve_units(count, target)
    assert abs(count(solved) - target) <= min(abs(count(h) - target) for h in (solved + 1, max(solved - 1, 1)))


def test_solved_h_is_within_bounds():
    assert solve_units(lambda h: h * h, 10_000, low=1, high=50) == 50
    assert solve_units(lambda h: h * h, 10_000, low=300, high=500) == 300


def test_impossible_budget_names_the_nearest_model():
    with pytest.raises(ValueError, match=r"max_params = 1,000 fits no model .* the smallest, RNN 1 x 32, has 1,667 w"):
        HyperDeepRNN(**OWN, max_params=1_000)
    with pytest.raises(ValueError, match=r"params = 9,000,000 fits no model .* the largest, LSTM 4 x 64, 120,"):
        HyperDeepRNN(**OWN, params=9_000_000, units=(8, 64))
    with pytest.raises(ValueError, match="fixes the size and max_params"):
        HyperDeepRNN(**OWN, params=10_000, max_params=10_000)
    with pytest.raises(ValueError, match="max_step_ms must be a positive number"):
        HyperDeepRNN(**OWN, max_step_ms=0)
    with pytest.raises(ValueError, match="params must be a positive integer, got '5k'"):
        HyperDeepRNN(**OWN, params="5k")


class Counting(RandomSearch):
    """Trains nothing."""

    def run_trial(self, trial, *args, **kwargs):
        return {"score": objective(trial.hyperparameters.values)}


def test_draws_outside_the_budget_use_no_trial_and_build_nothing(tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(HyperDeepRNN, "build", lambda self, hp: built.append(hp))
    hyper = HyperDeepRNN(**OWN, units=(8, 512), max_params=10_000, **LEFT_OUT)
    tuner = Counting(hyper, keras_tuner.Objective("score", "min"), 15, directory=tmp_path)
    tuner.search(verbose=0)
    drawn = [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]
    assert len(drawn) == 15 and not built
    assert all(hyper.resolve(values).weights <= 10_000 for values in drawn)


@pytest.mark.usefixtures("eager")
def test_keras_tuner_itself_fails_a_trial_outside_the_budget(tmp_path):
    """Beside it keras-tuner's max_model_size, which uses up trials too: what `Surviving` is for."""
    import numpy as np

    x, y = np.zeros((8, 3, 16)), np.zeros((8, 3))
    hyper = HyperDeepRNN(**OWN, num_layers=1, units=[2, 64], cell="rnn", max_params=1_000, **LEFT_OUT)
    tuner = keras_tuner.RandomSearch(hyper, "loss", max_trials=2, directory=tmp_path, project_name="theirs")
    tuner.search(x, y, epochs=1, verbose=0)
    states = {t.hyperparameters.values["units"]: t for t in tuner.oracle.trials.values()}
    assert states[2].status == "COMPLETED" and states[64].status == "FAILED"
    assert "outside the budget: RNN 1 x 64 has 5,379 weights" in states[64].message


def test_steps_are_measured_only_where_needed():
    """A planted time, 1 ms per layer and unit: the answers are right, and few were measured."""
    asked = []

    def measure(overrides):
        asked.append(overrides)
        return overrides["num_layers"] * overrides["units"]

    times = StepTimes(100.0, measure)
    grid = list(itertools.product((1, 2, 3, 4), (10, 20, 40, 80, 160)))
    for layers, units in grid:
        allowed = times.allows({"num_layers": layers, "units": units, "cell": "lstm"})
        assert allowed == (layers * units <= 100), (layers, units)
    assert len(asked) < len(grid)
    before = len(asked)
    assert times.allows({"num_layers": 1, "units": 10, "cell": "lstm"})
    times.allows({"num_layers": 1, "units": 10, "cell": "gru"})  # another cell says nothing
    assert len(asked) == before + 1


def test_measured_steps_are_stored(tmp_path):
    file = tmp_path / "step_times.json"
    StepTimes(5.0, lambda overrides: 7.0, file).allows({"num_layers": 2, "units": 8})
    again = StepTimes(5.0, lambda overrides: pytest.fail("measured twice"), file)
    assert not again.allows({"num_layers": 2, "units": 8})


def test_max_step_ms_limits_a_search(tmp_path, monkeypatch):
    """With a planted clock; what `step_ms` measures is tested in test_tuning_search.py."""
    from deeprnn_keras.tuning import hyper_deep_rnn

    monkeypatch.setattr(hyper_deep_rnn, "step_ms", lambda model, batch: float(model.get_layer("deep_rnn").units[0]))
    import numpy as np

    hyper = HyperDeepRNN(**OWN, num_layers=1, units=(2, 64), cell="rnn", max_step_ms=20, **LEFT_OUT)
    tuner = Counting(hyper, keras_tuner.Objective("score", "min"), 8, directory=tmp_path)
    tuner.search(np.zeros((8, 3, 16)), np.zeros((8, 3)), verbose=0)
    drawn = [trial.hyperparameters.values["units"] for trial in tuner.oracle.trials.values()]
    assert len(drawn) == 8 and max(drawn) <= 20
    assert (tmp_path / "search" / "step_times.json").exists()
