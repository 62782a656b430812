"""Resuming, lost workers, and failures, in comparison with keras-tuner's oracles."""

import json
import time
import warnings

import keras_tuner
import pytest
from keras_tuner.engine.trial import Trial
from planted_search import planted_objective, planted_tuner

from deeprnn_keras.tuning.oracles import ORACLES

SCORE = keras_tuner.Objective("score", "min")
OURS = ORACLES
KERAS_TUNER = {
    "random": keras_tuner.oracles.RandomSearchOracle,
    "grid": keras_tuner.oracles.GridSearchOracle,
}


def space(low=16):
    hp = keras_tuner.HyperParameters()
    hp.Int("num_layers", 1, 4)
    hp.Choice("units", [low, 32, 96, 256])
    return hp


def create_oracle(classes, name, directory, **options):
    """Return an oracle, which resumes the search in the directory, if there is one."""
    if classes is OURS:
        options = {"is_feasible": lambda values: True, "prune": False, **options}
    oracle = classes[name](objective=SCORE, max_trials=12, hyperparameters=space(), seed=1, **options)
    oracle.verbose = 0
    oracle._set_project_dir(str(directory), "search")
    if (directory / "search" / "oracle.json").exists():
        oracle.reload()
    return oracle


def run_trials(oracle, count, worker="tuner0"):
    """Run at most `count` trials and return their hyperparameter values."""
    tried = []
    for _ in range(count):
        trial = oracle.create_trial(worker)
        if trial.status != "RUNNING":
            break
        oracle.update_trial(trial.trial_id, {"score": planted_objective(trial.hyperparameters.values)})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        tried.append(trial.hyperparameters.values)
    return tried


def statuses(oracle):
    return sorted(trial.status for trial in oracle.trials.values())


# === Kills ===


def test_keras_tuner_grid_search_does_not_resume(tmp_path):
    run_trials(create_oracle(KERAS_TUNER, "grid", tmp_path), 3)
    with pytest.raises(KeyError):
        run_trials(create_oracle(KERAS_TUNER, "grid", tmp_path), 9)


@pytest.mark.parametrize("cut", range(1, 12, 3))
def test_resumed_grid_search_tries_the_same_combinations_in_order(cut, tmp_path):
    whole = run_trials(create_oracle(OURS, "grid", tmp_path / "whole"), 12)
    run_trials(create_oracle(OURS, "grid", tmp_path / "cut"), cut)
    oracle = create_oracle(OURS, "grid", tmp_path / "cut")
    run_trials(oracle, 12)
    assert [trial.hyperparameters.values for _, trial in sorted(oracle.trials.items())] == whole


@pytest.mark.parametrize("classes", [KERAS_TUNER, OURS], ids=["keras_tuner", "ours"])
def test_kill_between_the_writes_of_trial_and_oracle(classes, tmp_path):
    """A trial is on disk but not in the state of the oracle: keras-tuner counts it and never runs it."""
    oracle = create_oracle(classes, "random", tmp_path)
    run_trials(oracle, 4)
    before = (tmp_path / "search" / "oracle.json").read_text()
    oracle.create_trial("tuner0")
    (tmp_path / "search" / "oracle.json").write_text(before)
    oracle = create_oracle(classes, "random", tmp_path)
    run_trials(oracle, 12)
    lost = 1 if classes is KERAS_TUNER else 0
    assert statuses(oracle) == ["COMPLETED"] * (12 - lost) + ["RUNNING"] * lost


@pytest.mark.parametrize("file", ["trial_03/trial.json", "oracle.json"])
def test_keras_tuner_fails_on_a_truncated_file(file, tmp_path):
    run_trials(create_oracle(KERAS_TUNER, "random", tmp_path), 5)
    truncate(tmp_path / "search" / file)
    with pytest.raises(json.JSONDecodeError):
        create_oracle(KERAS_TUNER, "random", tmp_path)


def truncate(path):
    path.write_text(path.read_text()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["random", "bayesian", "grid", "hyperband"])
@pytest.mark.parametrize("trial_id", ["03", "04"])
def test_damaged_record_is_renamed_and_its_trial_replaced(name, trial_id, tmp_path):
    options = {"hyperband": {"max_epochs": 4, "factor": 2}, "bayesian": {"num_initial_points": 20}}.get(name, {})
    run_trials(create_oracle(OURS, name, tmp_path, **options), 5)
    path = tmp_path / "search" / f"trial_{trial_id}" / "trial.json"
    truncate(path)
    with pytest.warns(UserWarning, match="trial.json: .*; it is renamed to trial.json.damaged"):
        oracle = create_oracle(OURS, name, tmp_path, **options)
    run_trials(oracle, 20)
    assert statuses(oracle) == ["COMPLETED"] * 12 + ["FAILED"]
    assert path.with_name("trial.json.damaged").exists()
    if name == "grid":
        tried = [tuple(t.hyperparameters.values.items()) for t in oracle.trials.values() if t.status == "COMPLETED"]
        assert len(set(tried)) == 12
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert statuses(create_oracle(OURS, name, tmp_path, **options)) == statuses(
            oracle
        )  # the warning is issued once


def test_damaged_state_falls_back_to_the_previous_one(tmp_path):
    run_trials(create_oracle(OURS, "random", tmp_path), 5)
    truncate(tmp_path / "search" / "oracle.json")
    with pytest.warns(UserWarning, match="oracle.json: .*; resuming the search from"):
        oracle = create_oracle(OURS, "random", tmp_path)
    assert statuses(oracle) == ["COMPLETED"] * 5
    run_trials(oracle, 12)
    assert statuses(oracle) == ["COMPLETED"] * 12
    for name in ("oracle.json", "oracle.previous.json"):
        truncate(tmp_path / "search" / name)
    with pytest.raises(ValueError, match=r"could not be resumed; .*oracle.json: .*oracle.previous.json: "):
        create_oracle(OURS, "random", tmp_path)


@pytest.mark.parametrize("classes", [KERAS_TUNER, OURS], ids=["keras_tuner", "ours"])
def test_trial_that_ended_before_a_kill_is_not_repeated(classes, tmp_path):
    oracle = create_oracle(classes, "random", tmp_path)
    run_trials(oracle, 2)
    trial = oracle.create_trial("tuner0")
    state = (tmp_path / "search" / "oracle.json").read_text()
    oracle.update_trial(trial.trial_id, {"score": 1.0})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    (tmp_path / "search" / "oracle.json").write_text(state)  # killed before the state was written
    oracle = create_oracle(classes, "random", tmp_path)
    again = oracle.create_trial("tuner0").trial_id == trial.trial_id
    assert again == (classes is KERAS_TUNER)


# === Workers ===


@pytest.mark.parametrize("classes", [KERAS_TUNER, OURS], ids=["keras_tuner", "ours"])
def test_trial_of_a_dead_worker_is_reassigned(classes, tmp_path):
    """keras-tuner leaves the trial RUNNING, and its chief waits for the dead worker forever."""
    oracle = create_oracle(classes, "random", tmp_path, **({"heartbeat_timeout": 0.05} if classes is OURS else {}))
    oracle.create_trial("worker0")  # the worker is killed
    time.sleep(0.1)
    ended = run_trials(oracle, 30, "worker1")
    chief_exits = not oracle.ongoing_trials and not oracle.tuner_ids
    assert (len(ended), chief_exits) == ((12, True) if classes is OURS else (11, False))


def test_idle_worker_takes_over_the_trial_of_another(tmp_path):
    oracle = create_oracle(OURS, "random", tmp_path)
    oracle.create_trial("worker0")
    assert len(run_trials(oracle, 30, "worker1")) == 11
    assert oracle.create_trial("worker1").status == "IDLE"
    oracle.heartbeat_timeout = 0.0
    assert oracle.create_trial("worker1").trial_id == "00"


def test_restarted_worker_receives_its_trial_without_metrics(tmp_path):
    oracle = create_oracle(OURS, "random", tmp_path)
    trial = oracle.create_trial("worker0")
    oracle.update_trial(trial.trial_id, {"epoch/score": 7.0}, step=0)
    again = oracle.create_trial("worker0")
    assert again.trial_id == trial.trial_id and not again.metrics.exists("epoch/score")


def test_trial_run_by_two_workers_ends_once(tmp_path):
    oracle = create_oracle(OURS, "random", tmp_path, heartbeat_timeout=0.05)
    slow = oracle.create_trial("worker0")
    time.sleep(0.1)
    fast = oracle.create_trial("worker1")
    assert fast.trial_id == slow.trial_id
    for worker, value in ((fast, 1.0), (slow, 2.0)):
        if oracle.trials[worker.trial_id].status == "RUNNING":
            oracle.update_trial(worker.trial_id, {"score": value})
        worker.status = "COMPLETED"
        oracle.end_trial(worker)
    assert oracle.end_order == ["00"] and oracle.trials["00"].score == 1.0


@pytest.mark.parametrize("classes", [KERAS_TUNER, OURS], ids=["keras_tuner", "ours"])
def test_result_of_a_worker_keeps_order_and_error(classes, tmp_path):
    """keras-tuner's gRPC messages reorder the hyperparameters, and omit the error."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("cell", ["lstm", "gru"])
    hp.Int("num_layers", 1, 3)
    options = {"is_feasible": lambda values: True, "prune": False} if classes is OURS else {}
    oracle = classes["random"](objective=SCORE, hyperparameters=hp, max_trials=2, **options)
    oracle.verbose = 0
    oracle._set_project_dir(str(tmp_path), "search")
    trial = oracle.create_trial("worker0")
    trial.status, trial.message = "FAILED", "Traceback: no room"
    (tmp_path / "search" / f"trial_{trial.trial_id}" / "error.txt").write_text(trial.message)  # as `on_trial_end` does
    sent = Trial.from_proto(trial.to_proto())
    assert sent.message is None
    trial.message = None
    oracle.end_trial(sent)
    stored = oracle.trials[trial.trial_id]
    names = [entry.name for entry in stored.hyperparameters.space]
    assert (names, stored.message) == (
        (["cell", "num_layers"], "Traceback: no room") if classes is OURS else (["num_layers", "cell"], None)
    )


def test_consecutive_failures_end_the_search_with_the_error(tmp_path):
    tuner = planted_tuner("random", tmp_path)

    def fail(trial, *args, **kwargs):
        raise OSError("no room")

    tuner.run_trial = fail
    with pytest.raises(RuntimeError, match=r"(?s)all trials failed; the first error, of trial 00: .*no room"):
        tuner.search()
    assert statuses(tuner.oracle) == ["FAILED"] * 3


# === Settings ===


def test_search_with_other_settings_is_rejected(tmp_path):
    planted_tuner("random", tmp_path).search()
    with pytest.raises(ValueError, match=r"holds another search: space, units: '16 to 512, log' before, '8 to 512"):
        planted_tuner("random", tmp_path, units=(8, 512))
    with pytest.raises(ValueError, match="algorithm: 'random' before, 'grid' now"):
        planted_tuner("grid", tmp_path)
    tuner = planted_tuner("random", tmp_path, units=(8, 512), overwrite=True)
    tuner.search()
    assert len(tuner.oracle.trials) == 12


def test_keras_tuner_ignores_a_changed_search_space(tmp_path):
    def tuner(low):
        oracle = KERAS_TUNER["random"](objective=SCORE, max_trials=3, hyperparameters=space(low))
        return keras_tuner.Tuner(oracle, lambda hp: None, directory=str(tmp_path), project_name="search")

    first = tuner(16)
    first.oracle.verbose = 0
    first.save()
    assert tuner(8).oracle.get_space().space[1].values == [16, 32, 96, 256]


def test_max_trials_can_be_increased(tmp_path):
    planted_tuner("random", tmp_path, trials=3).search()
    tuner = planted_tuner("random", tmp_path, trials=5)
    tuner.search()
    assert statuses(tuner.oracle) == ["COMPLETED"] * 5


def test_search_of_workers_is_resumed_by_a_single_process(tmp_path, monkeypatch):
    """keras-tuner looks for a file named after the process, and starts a new search if there is none."""
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker7")
    planted_tuner("random", tmp_path, trials=3).search()
    monkeypatch.delenv("KERASTUNER_TUNER_ID")
    assert len(planted_tuner("random", tmp_path, trials=3).oracle.trials) == 3
