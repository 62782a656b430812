"""Search algorithms on a planted optimum over L and h, without training; pruning and the time limit."""

import keras_tuner
import pytest
from planted_search import BEST, OMITTED, planted_objective, planted_tuner

from deeprnn_keras.tuning.median_stopping import should_prune
from deeprnn_keras.tuning.tuners import BayesianOptimization

TRIALS = {"random": 40, "bayesian": 20, "hyperband": 30, "grid": 16}
TOLERANCE = 0.15  # maximum objective: L = 3 and h within 30% of 96


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", TRIALS)
def test_algorithm_finds_the_planted_optimum(algorithm, tmp_path):
    tuner = planted_tuner(algorithm, tmp_path, trials=TRIALS[algorithm])
    tuner.search()
    (best,) = tuner.oracle.get_best_trials(1)
    values = best.hyperparameters.values
    assert len(tuner.oracle.trials) <= TRIALS[algorithm]
    assert values["num_layers"] == BEST["num_layers"] and planted_objective(values) <= TOLERANCE, values
    if algorithm == "bayesian":  # its last trials are better than the first, which are random
        scores = [trial.score for _, trial in sorted(tuner.oracle.trials.items())]
        assert sum(scores[-8:]) / 8 < sum(scores[:6]) / 6 / 2


@pytest.mark.slow
def test_bayesian_optimization_within_a_budget_tries_no_configuration_twice(tmp_path):
    class Limited(BayesianOptimization):
        def run_trial(self, trial, *args, **kwargs):
            return {"score": planted_objective(trial.hyperparameters.values)}

    from deeprnn_keras.tuning import HyperDeepRNN

    hyper = HyperDeepRNN(
        inputs=4,
        outputs=1,
        loss="mse",
        num_layers=(1, 4),
        units=[16, 32, 64, 96, 128, 256],
        max_params=100_000,
        **OMITTED,
    )
    tuner = Limited(hyper, keras_tuner.Objective("score", "min"), 8, directory=tmp_path)
    tuner.search(verbose=0)
    tried = [tuple(t.hyperparameters.values.values()) for t in tuner.oracle.trials.values()]
    assert len(set(tried)) == len(tried)
    assert all(hyper.is_feasible(t.hyperparameters.values) for t in tuner.oracle.trials.values())
    allowed = [v for v in ((L, h) for L in (1, 2, 3, 4) for h in (16, 32, 64, 96, 128, 256)) if _is_feasible(hyper, v)]
    assert len(tried) == min(8, len(allowed))


def _is_feasible(hyper, pair):
    return hyper.is_feasible({"num_layers": pair[0], "units": pair[1]})


# === Pruning ===


@pytest.mark.parametrize(
    ("curve", "others", "step", "expected"),
    [
        ([(0, 9.0)], [[(0, 1.0)]] * 5, 0, False),  # no trial is pruned in the first epoch
        ([(0, 9.0), (1, 9.0)], [[(0, 1.0), (1, 1.0)]] * 2, 1, False),  # too few other trials
        ([(0, 9.0), (1, 9.0)], [[(0, 1.0), (1, 1.0)]] * 3, 1, True),
        ([(0, 0.5), (1, 9.0)], [[(0, 1.0), (1, 1.0)]] * 3, 1, False),  # the best value counts
        ([(0, 2.0), (1, 2.0)], [[(0, 1.0), (1, float(k))] for k in (1, 2, 3)], 1, False),  # equal to the median
        ([(0, 2.0), (1, 2.1)], [[(0, 1.0)]] * 9, 1, False),  # no other trial has reached the step
    ],
)
def test_median_rule(curve, others, step, expected):
    assert should_prune(curve, others, step) == expected


def test_trials_worse_than_the_median_are_pruned(tmp_path):
    """The first epoch of four already reveals the objective, but trials are not pruned before the second."""
    tuner = planted_tuner("random", tmp_path, trials=20, prune=True)
    last_epochs = {}

    def run_trial(trial, *args, **kwargs):
        value = planted_objective(trial.hyperparameters.values)
        for epoch, kind in enumerate(["epoch", "epoch", "epoch", "last"]):
            answer = tuner.oracle.update_trial(trial.trial_id, {f"{kind}/score": value - epoch}, step=epoch)
            if answer.status == "STOPPED":
                break
        last_epochs[trial.trial_id] = epoch
        return {"score": value - epoch}

    tuner.run_trial = run_trial
    tuner.search()
    pruned = [trial for trial in tuner.oracle.trials.values() if trial.message]
    assert 3 <= len(pruned) < 17 and all(trial.status == "COMPLETED" for trial in pruned)
    assert {trial.trial_id for trial in pruned} == {name for name, epoch in last_epochs.items() if epoch < 3}
    assert pruned[0].message == "pruned after epoch 2: worse than the median of the other trials"


def test_search_ends_at_its_time_limit(tmp_path):
    tuner = planted_tuner("random", tmp_path, trials=1_000, seconds=0.1, minutes=1.5 / 60)
    tuner.search()
    assert 3 <= len(tuner.oracle.trials) < 100 and tuner.oracle.stop_reason == "deadline"
