"""A planted optimum over L and h: each algorithm finds it within its budget. Nothing is trained."""

import keras_tuner
import pytest
from tunable import BEST, objective, planted

from deeprnn_keras.tuning.median_rule import hopeless
from deeprnn_keras.tuning.tuners import BayesianOptimization

TRIALS = {"random": 40, "bayesian": 20, "hyperband": 30, "grid": 16}
NEAR = 0.15  # of the objective: L = 3 and h within 30 % of 96


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", TRIALS)
def test_optimum_is_found(algorithm, tmp_path):
    tuner = planted(algorithm, tmp_path, trials=TRIALS[algorithm])
    tuner.search()
    (best,) = tuner.oracle.get_best_trials(1)
    values = best.hyperparameters.values
    assert len(tuner.oracle.trials) <= TRIALS[algorithm]
    assert values["num_layers"] == BEST["num_layers"] and objective(values) <= NEAR, values
    if algorithm == "bayesian":  # it goes where it is good: its last trials against its first, random ones
        scores = [trial.score for _, trial in sorted(tuner.oracle.trials.items())]
        assert sum(scores[-8:]) / 8 < sum(scores[:6]) / 6 / 2


@pytest.mark.slow
def test_bayesian_optimization_repeats_nothing_within_a_budget(tmp_path):
    class Limited(BayesianOptimization):
        def run_trial(self, trial, *args, **kwargs):
            return {"score": objective(trial.hyperparameters.values)}

    from deeprnn_keras.tuning import HyperDeepRNN

    left_out = dict.fromkeys(("cell", "connection", "dropout", "learning_rate", "global_clipnorm", "forget_bias"))
    hyper = HyperDeepRNN(
        inputs=4,
        outputs=1,
        loss="mse",
        num_layers=(1, 4),
        units=[16, 32, 64, 96, 128, 256],
        max_params=100_000,
        **left_out,
    )
    tuner = Limited(hyper, keras_tuner.Objective("score", "min"), 8, directory=tmp_path)
    tuner.search(verbose=0)
    drawn = [tuple(t.hyperparameters.values.values()) for t in tuner.oracle.trials.values()]
    assert len(set(drawn)) == len(drawn)
    assert all(hyper.feasible(t.hyperparameters.values) for t in tuner.oracle.trials.values())
    allowed = [v for v in ((L, h) for L in (1, 2, 3, 4) for h in (16, 32, 64, 96, 128, 256)) if _fits(hyper, v)]
    assert len(drawn) == min(8, len(allowed))


def _fits(hyper, pair):
    return hyper.feasible({"num_layers": pair[0], "units": pair[1]})


# === The median rule ===


@pytest.mark.parametrize(
    ("curve", "others", "step", "wanted"),
    [
        ([(0, 9.0)], [[(0, 1.0)]] * 5, 0, False),  # nothing is broken off in the first epoch
        ([(0, 9.0), (1, 9.0)], [[(0, 1.0), (1, 1.0)]] * 2, 1, False),  # too few to compare with
        ([(0, 9.0), (1, 9.0)], [[(0, 1.0), (1, 1.0)]] * 3, 1, True),
        ([(0, 0.5), (1, 9.0)], [[(0, 1.0), (1, 1.0)]] * 3, 1, False),  # its best counts
        ([(0, 2.0), (1, 2.0)], [[(0, 1.0), (1, float(k))] for k in (1, 2, 3)], 1, False),  # the median itself
        ([(0, 2.0), (1, 2.1)], [[(0, 1.0)]] * 9, 1, False),  # nobody was there yet
    ],
)
def test_median_rule(curve, others, step, wanted):
    assert hopeless(curve, others, step) == wanted


def test_pruned_trials_of_a_search(tmp_path):
    """Four epochs, the objective known after the first: trials worse than the median end after the second."""
    tuner = planted("random", tmp_path, trials=20, prune=True)
    ended = {}

    def run_trial(trial, *args, **kwargs):
        value = objective(trial.hyperparameters.values)
        for epoch, kind in enumerate(["epoch", "epoch", "epoch", "last"]):
            answer = tuner.oracle.update_trial(trial.trial_id, {f"{kind}/score": value - epoch}, step=epoch)
            if answer.status == "STOPPED":
                break
        ended[trial.trial_id] = epoch
        return {"score": value - epoch}

    tuner.run_trial = run_trial
    tuner.search()
    pruned = [trial for trial in tuner.oracle.trials.values() if trial.message]
    assert 3 <= len(pruned) < 17 and all(trial.status == "COMPLETED" for trial in pruned)
    assert {trial.trial_id for trial in pruned} == {name for name, epoch in ended.items() if epoch < 3}
    assert pruned[0].message == "broken off after epoch 2: worse than the median of the others"


def test_search_ends_at_its_deadline(tmp_path):
    tuner = planted("random", tmp_path, trials=1_000, seconds=0.1, minutes=1.5 / 60)
    tuner.search()
    done = len(tuner.oracle.trials)
    assert 3 <= done < 100 and tuner.oracle.ended_early == "deadline"
