"""Budgets: models of equal size for every L and cell, limits, and samples outside them."""

import itertools

import keras
import keras_tuner
import pytest
from planted_search import planted_objective

from deeprnn_keras import count_params, zoo
from deeprnn_keras.specs import CELLS
from deeprnn_keras.tuning import HyperDeepRNN, RandomSearch
from deeprnn_keras.tuning.budget import solve_units
from deeprnn_keras.tuning.step_times import StepTimes

CUSTOM_MODEL = {"inputs": 16, "outputs": 3, "loss": "mse"}
OMITTED = dict.fromkeys(("connection", "dropout", "learning_rate", "global_clipnorm", "forget_bias"))
CELL_NAMES = [name for name in CELLS.names() if CELLS[name].gates or CELLS[name].equations]


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_every_model_has_the_requested_number_of_parameters(cell):
    """The number is within 3% of 200,000 for L = 1 to 4, and equals that of the built model."""
    hyper = HyperDeepRNN(**CUSTOM_MODEL, num_layers=(1, 4), units=None, cell=cell, params=200_000, **OMITTED)
    for layers in (1, 2, 3, 4):
        hp = keras_tuner.HyperParameters()
        hp.values = {"num_layers": layers, "cell": cell}
        num_params = hyper.resolve(hp.values).num_params
        assert abs(num_params - 200_000) <= 6_000, (cell, layers, num_params)
        if layers in (1, 3):
            assert hyper.build(hp).count_params() == num_params
            keras.backend.clear_session()


def test_zoo_models_have_the_requested_number_of_parameters():
    """The number includes embedding and head."""
    hyper = HyperDeepRNN(zoo.info("kjv_lstm_2x256"), num_layers=(1, 4), units=None, params=200_000)
    for values in hyper.space.smallest_values():
        candidate = hyper.resolve(values)
        assert candidate.violation is None and abs(candidate.num_params - 200_000) <= 6_000
        assert candidate.config.count_params() == candidate.num_params


@pytest.mark.parametrize("target", [50, 1_000, 123_456, 10_000_000])
def test_solved_h_is_closest_to_the_target(target):
    def count(h):
        return count_params(7, h, num_layers=3, cell="gru")

    solved = solve_units(count, target)
    assert abs(count(solved) - target) <= min(abs(count(h) - target) for h in (solved + 1, max(solved - 1, 1)))


def test_solved_h_respects_its_bounds():
    assert solve_units(lambda h: h * h, 10_000, low=1, high=50) == 50
    assert solve_units(lambda h: h * h, 10_000, low=300, high=500) == 300


def test_impossible_budget_is_an_error_that_names_the_nearest_model():
    with pytest.raises(ValueError, match=r"max_params=1,000: all models .* the smallest, RNN 1 x 32, has 1,667$"):
        HyperDeepRNN(**CUSTOM_MODEL, max_params=1_000)
    with pytest.raises(ValueError, match=r"params=9,000,000: no model .* the largest, LSTM 4 x 64, has 120,"):
        HyperDeepRNN(**CUSTOM_MODEL, params=9_000_000, units=(8, 64))
    with pytest.raises(ValueError, match="fixes the size and max_params"):
        HyperDeepRNN(**CUSTOM_MODEL, params=10_000, max_params=10_000)
    with pytest.raises(ValueError, match="max_step_ms must be a positive number"):
        HyperDeepRNN(**CUSTOM_MODEL, max_step_ms=0)
    with pytest.raises(ValueError, match="params must be a positive integer, got '5k'"):
        HyperDeepRNN(**CUSTOM_MODEL, params="5k")


class UntrainedSearch(RandomSearch):
    """Tuner whose trials train nothing."""

    def run_trial(self, trial, *args, **kwargs):
        return {"score": planted_objective(trial.hyperparameters.values)}


def test_samples_outside_the_budget_use_no_trial_and_build_nothing(tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(HyperDeepRNN, "build", lambda self, hp: built.append(hp))
    hyper = HyperDeepRNN(**CUSTOM_MODEL, units=(8, 512), max_params=10_000, **OMITTED)
    tuner = UntrainedSearch(hyper, keras_tuner.Objective("score", "min"), 15, directory=tmp_path)
    tuner.search(verbose=0)
    sampled = [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]
    assert len(sampled) == 15 and not built
    assert all(hyper.resolve(values).num_params <= 10_000 for values in sampled)


@pytest.mark.usefixtures("eager")
def test_sample_outside_the_budget_is_a_failed_trial_of_a_keras_tuner_tuner(tmp_path):
    import numpy as np

    x, y = np.zeros((8, 3, 16)), np.zeros((8, 3))
    hyper = HyperDeepRNN(**CUSTOM_MODEL, num_layers=1, units=[2, 64], cell="rnn", max_params=1_000, **OMITTED)
    tuner = keras_tuner.RandomSearch(hyper, "loss", max_trials=2, directory=tmp_path, project_name="keras_tuner")
    tuner.search(x, y, epochs=1, verbose=0)
    trials = {t.hyperparameters.values["units"]: t for t in tuner.oracle.trials.values()}
    assert trials[2].status == "COMPLETED" and trials[64].status == "FAILED"
    assert "outside the budget: RNN 1 x 64 has 5,379 parameters" in trials[64].message


def test_step_times_are_measured_only_if_needed():
    """With a planted duration of 1 ms per layer and unit, few measurements decide about most models."""
    measured = []

    def measure(overrides):
        measured.append(overrides)
        return overrides["num_layers"] * overrides["units"]

    times = StepTimes(100.0, measure)
    grid = list(itertools.product((1, 2, 3, 4), (10, 20, 40, 80, 160)))
    for layers, units in grid:
        allowed = times.allows({"num_layers": layers, "units": units, "cell": "lstm"})
        assert allowed == (layers * units <= 100), (layers, units)
    assert len(measured) < len(grid)
    num_measured = len(measured)
    assert times.allows({"num_layers": 1, "units": 10, "cell": "lstm"})
    times.allows({"num_layers": 1, "units": 10, "cell": "gru"})  # a model with another cell is measured
    assert len(measured) == num_measured + 1


def test_measured_step_times_are_stored(tmp_path):
    file = tmp_path / "step_times.json"
    StepTimes(5.0, lambda overrides: 7.0, file).allows({"num_layers": 2, "units": 8})
    loaded = StepTimes(5.0, lambda overrides: pytest.fail("measured twice"), file)
    assert not loaded.allows({"num_layers": 2, "units": 8})


def test_max_step_ms_limits_a_search(tmp_path, monkeypatch):
    """The durations are planted; `step_ms` is tested in test_tuning_search.py."""
    from deeprnn_keras.tuning import hyper_deep_rnn

    monkeypatch.setattr(hyper_deep_rnn, "step_ms", lambda model, batch: float(model.get_layer("deep_rnn").units[0]))
    import numpy as np

    hyper = HyperDeepRNN(**CUSTOM_MODEL, num_layers=1, units=(2, 64), cell="rnn", max_step_ms=20, **OMITTED)
    tuner = UntrainedSearch(hyper, keras_tuner.Objective("score", "min"), 8, directory=tmp_path)
    tuner.search(np.zeros((8, 3, 16)), np.zeros((8, 3)), verbose=0)
    sampled = [trial.hyperparameters.values["units"] for trial in tuner.oracle.trials.values()]
    assert len(sampled) == 8 and max(sampled) <= 20
    assert (tmp_path / "search" / "step_times.json").exists()
