"""Search with Optuna: the same space, storage in SQLite, and pruning."""

import keras_tuner
import numpy as np
import pytest

from deeprnn_keras.tuning import HyperDeepRNN, optuna_objective

pytestmark = pytest.mark.usefixtures("eager")

optuna = pytest.importorskip("optuna")
optuna.logging.set_verbosity(optuna.logging.WARNING)
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(8, 3, 2)).astype("float32"), RNG.normal(size=(8, 1)).astype("float32")
SMALL = {"num_layers": (1, 3), "units": (2, 4), "cell": ["rnn", "gru"]}


def hyper(**changes):
    return HyperDeepRNN(
        inputs=(3, 2), outputs=1, loss="mse", options={"implementation": "loop"}, **{**SMALL, **changes}
    )


def test_suggested_values_match_the_search_space():
    """Suggested values are those of the active hyperparameters, and can be built."""
    hypermodel = hyper(units=(2, 64))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    entries = keras_tuner.HyperParameters()
    hypermodel.declare(entries)
    for _ in range(30):
        hp = hypermodel.suggest(study.ask())
        again = keras_tuner.HyperParameters()
        again.values = dict(hp.values)
        assert hypermodel.declare(again).keys() == hp.values.keys()
        assert ("dropout" in hp.values) == (hp.values["num_layers"] >= 2)
        assert ("forget_bias" in hp.values) == (hp.values["cell"] == "gru")
        assert {entry.name for entry in hp.space} == {entry.name for entry in entries.space}
    assert hypermodel.build(hp).count_params() == hypermodel.resolve(hp.values).num_params


@pytest.mark.slow
def test_study_in_sqlite_is_resumed(tmp_path):
    storage = f"sqlite:///{tmp_path}/search.db"
    for _ in range(2):
        study = optuna.create_study(storage=storage, study_name="depth", load_if_exists=True)
        study.optimize(optuna_objective(hyper(), X, Y, validation_data=(X, Y), epochs=1), n_trials=2)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4
    assert all(trial.user_attrs["num_params"] > 0 for trial in study.trials)
    assert study.best_value == min(trial.value for trial in study.trials)


def test_pruner_and_budget_prune_trials():
    class AlwaysPrune(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return True

    study = optuna.create_study(pruner=AlwaysPrune())
    study.optimize(optuna_objective(hyper(), X, Y, validation_data=(X, Y), epochs=3), n_trials=1)
    (trial,) = study.trials
    assert trial.state.name == "PRUNED" and list(trial.intermediate_values) == [0]
    limited = hyper(units=[2, 64], max_params=500)
    with pytest.raises(optuna.TrialPruned, match="outside the budget: GRU 1 x 64"):
        limited.suggest(
            optuna.trial.FixedTrial(
                {
                    "num_layers": 1,
                    "units": 64,
                    "cell": "gru",
                    "learning_rate": 0.01,
                    "global_clipnorm": 1.0,
                    "forget_bias": 1.0,
                }
            )
        )


def test_missing_optuna_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install 'deeprnn-keras\[optuna\]'"):
        optuna_objective(hyper())


def test_unsupported_direction_is_an_error():
    with pytest.raises(ValueError, match="unknown direction 'minimize'"):
        optuna_objective(hyper(), direction="minimize")
