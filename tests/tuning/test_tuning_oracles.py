"""What keras-tuner loses, shown on its own oracles first, and then kept by ours."""

import json
import time
import warnings

import keras_tuner
import pytest
from keras_tuner.engine.trial import Trial
from tunable import objective, planted

from deeprnn_keras.tuning.algorithms import ORACLES

SCORE = keras_tuner.Objective("score", "min")
OURS = ORACLES
THEIRS = {
    "random": keras_tuner.oracles.RandomSearchOracle,
    "grid": keras_tuner.oracles.GridSearchOracle,
}


def space(low=16):
    hp = keras_tuner.HyperParameters()
    hp.Int("num_layers", 1, 4)
    hp.Choice("units", [low, 32, 96, 256])
    return hp


def oracle(kinds, name, directory, **options):
    """An oracle with its directory, taken up where it was if there is something to take up."""
    if kinds is OURS:
        options = {"feasible": lambda values: True, "prune": False, **options}
    made = kinds[name](objective=SCORE, max_trials=12, hyperparameters=space(), seed=1, **options)
    made.verbose = 0
    made._set_project_dir(str(directory), "search")
    if (directory / "search" / "oracle.json").exists():
        made.reload()
    return made


def run(made, count, worker="tuner0"):
    """Ends so many trials; -> their values."""
    found = []
    for _ in range(count):
        trial = made.create_trial(worker)
        if trial.status != "RUNNING":
            break
        made.update_trial(trial.trial_id, {"score": objective(trial.hyperparameters.values)})
        trial.status = "COMPLETED"
        made.end_trial(trial)
        found.append(trial.hyperparameters.values)
    return found


def states(made):
    return sorted(trial.status for trial in made.trials.values())


# === A kill ===


def test_keras_tuner_grid_search_loses_its_combinations(tmp_path):
    run(oracle(THEIRS, "grid", tmp_path), 3)
    with pytest.raises(KeyError):
        run(oracle(THEIRS, "grid", tmp_path), 9)


@pytest.mark.parametrize("cut", range(1, 12, 3))
def test_ours_resumes_in_the_same_order(cut, tmp_path):
    whole = run(oracle(OURS, "grid", tmp_path / "whole"), 12)
    run(oracle(OURS, "grid", tmp_path / "cut"), cut)
    made = oracle(OURS, "grid", tmp_path / "cut")
    run(made, 12)
    assert [trial.hyperparameters.values for _, trial in sorted(made.trials.items())] == whole


@pytest.mark.parametrize("kinds", [THEIRS, OURS], ids=["theirs", "ours"])
def test_kill_between_two_writes(kinds, tmp_path):
    """A trial that is on disk and not in the oracle's state: keras-tuner counts it and never runs it."""
    made = oracle(kinds, "random", tmp_path)
    run(made, 4)
    before = (tmp_path / "search" / "oracle.json").read_text()
    made.create_trial("tuner0")
    (tmp_path / "search" / "oracle.json").write_text(before)
    made = oracle(kinds, "random", tmp_path)
    run(made, 12)
    lost = 1 if kinds is THEIRS else 0
    assert states(made) == ["COMPLETED"] * (12 - lost) + ["RUNNING"] * lost


@pytest.mark.parametrize("file", ["trial_03/trial.json", "oracle.json"])
def test_keras_tuner_stops_at_a_truncated_file(file, tmp_path):
    run(oracle(THEIRS, "random", tmp_path), 5)
    truncate(tmp_path / "search" / file)
    with pytest.raises(json.JSONDecodeError):
        oracle(THEIRS, "random", tmp_path)


def truncate(path):
    path.write_text(path.read_text()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["random", "bayesian", "grid", "hyperband"])
@pytest.mark.parametrize("place", ["03", "04"])
def test_ours_sets_a_damaged_record_aside(name, place, tmp_path):
    options = {"hyperband": {"max_epochs": 4, "factor": 2}, "bayesian": {"num_initial_points": 20}}.get(name, {})
    run(oracle(OURS, name, tmp_path, **options), 5)
    path = tmp_path / "search" / f"trial_{place}" / "trial.json"
    truncate(path)
    with pytest.warns(UserWarning, match="is damaged; it is set aside"):
        made = oracle(OURS, name, tmp_path, **options)
    run(made, 20)
    assert states(made) == ["COMPLETED"] * 12 + ["FAILED"]
    assert path.with_name("trial.json.damaged").exists()
    if name == "grid":
        tried = [tuple(t.hyperparameters.values.items()) for t in made.trials.values() if t.status == "COMPLETED"]
        assert len(set(tried)) == 12
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert states(oracle(OURS, name, tmp_path, **options)) == states(made)  # said once, and settled


def test_ours_falls_back_to_the_previous_state(tmp_path):
    run(oracle(OURS, "random", tmp_path), 5)
    truncate(tmp_path / "search" / "oracle.json")
    with pytest.warns(UserWarning, match="goes on with the state before"):
        made = oracle(OURS, "random", tmp_path)
    assert states(made) == ["COMPLETED"] * 5
    run(made, 12)
    assert states(made) == ["COMPLETED"] * 12
    for name in ("oracle.json", "oracle.before.json"):
        truncate(tmp_path / "search" / name)
    with pytest.raises(ValueError, match=r"cannot go on: oracle.json and the state before are damaged"):
        oracle(OURS, "random", tmp_path)


@pytest.mark.parametrize("kinds", [THEIRS, OURS], ids=["theirs", "ours"])
def test_trial_ended_before_a_kill_is_not_run_again(kinds, tmp_path):
    made = oracle(kinds, "random", tmp_path)
    run(made, 2)
    trial = made.create_trial("tuner0")
    state = (tmp_path / "search" / "oracle.json").read_text()
    made.update_trial(trial.trial_id, {"score": 1.0})
    trial.status = "COMPLETED"
    made.end_trial(trial)
    (tmp_path / "search" / "oracle.json").write_text(state)  # the kill came before it was written
    made = oracle(kinds, "random", tmp_path)
    again = made.create_trial("tuner0").trial_id == trial.trial_id
    assert again == (kinds is THEIRS)


# === Workers ===


@pytest.mark.parametrize("kinds", [THEIRS, OURS], ids=["theirs", "ours"])
def test_trial_of_a_dead_worker(kinds, tmp_path):
    """keras-tuner leaves it RUNNING, and its chief waits for the dead worker."""
    made = oracle(kinds, "random", tmp_path, **({"lease": 0.05} if kinds is OURS else {}))
    made.create_trial("worker0")  # and is killed
    time.sleep(0.1)
    ended = run(made, 30, "worker1")
    done = not made.ongoing_trials and not made.tuner_ids  # when the chief ends
    assert (len(ended), done) == ((12, True) if kinds is OURS else (11, False))


def test_worker_waits_while_others_run_and_takes_over(tmp_path):
    made = oracle(OURS, "random", tmp_path)
    made.create_trial("worker0")
    assert len(run(made, 30, "worker1")) == 11
    assert made.create_trial("worker1").status == "IDLE"
    made.lease = 0.0
    assert made.create_trial("worker1").trial_id == "00"


def test_returning_worker_gets_its_trial_without_old_metrics(tmp_path):
    made = oracle(OURS, "random", tmp_path)
    trial = made.create_trial("worker0")
    made.update_trial(trial.trial_id, {"epoch/score": 7.0}, step=0)
    again = made.create_trial("worker0")
    assert again.trial_id == trial.trial_id and not again.metrics.exists("epoch/score")


def test_trial_run_by_two_workers_ends_once(tmp_path):
    made = oracle(OURS, "random", tmp_path, lease=0.05)
    slow = made.create_trial("worker0")
    time.sleep(0.1)
    fast = made.create_trial("worker1")
    assert fast.trial_id == slow.trial_id
    for worker, value in ((fast, 1.0), (slow, 2.0)):
        if made.trials[worker.trial_id].status == "RUNNING":
            made.update_trial(worker.trial_id, {"score": value})
        worker.status = "COMPLETED"
        made.end_trial(worker)
    assert made.end_order == ["00"] and made.trials["00"].score == 1.0


@pytest.mark.parametrize("kinds", [THEIRS, OURS], ids=["theirs", "ours"])
def test_result_of_a_worker(kinds, tmp_path):
    """keras-tuner's message has hyper-parameters in another order, and leaves out why a trial failed."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("cell", ["lstm", "gru"])
    hp.Int("num_layers", 1, 3)
    options = {"feasible": lambda values: True, "prune": False} if kinds is OURS else {}
    made = kinds["random"](objective=SCORE, hyperparameters=hp, max_trials=2, **options)
    made.verbose = 0
    made._set_project_dir(str(tmp_path), "search")
    trial = made.create_trial("worker0")
    trial.status, trial.message = "FAILED", "Traceback: no room"
    (tmp_path / "search" / f"trial_{trial.trial_id}" / "error.txt").write_text(trial.message)  # as `on_trial_end` does
    sent = Trial.from_proto(trial.to_proto())
    assert sent.message is None
    trial.message = None
    made.end_trial(sent)
    kept = made.trials[trial.trial_id]
    names = [entry.name for entry in kept.hyperparameters.space]
    assert (names, kept.message) == (
        (["cell", "num_layers"], "Traceback: no room") if kinds is OURS else (["num_layers", "cell"], None)
    )


def test_consecutive_failures_end_the_search_with_the_reason(tmp_path):
    tuner = planted("random", tmp_path)

    def fail(trial, *args, **kwargs):
        raise OSError("no room")

    tuner.run_trial = fail
    with pytest.raises(RuntimeError, match=r"3 trials in a row failed; the last one: (.|\n)*no room"):
        tuner.search()
    assert states(tuner.oracle) == ["FAILED"] * 3


# === Another search ===


def test_directory_of_another_search_is_refused(tmp_path):
    planted("random", tmp_path).search()
    with pytest.raises(ValueError, match=r"holds another search: space, units: '16 to 512, log' there, '8 to 512"):
        planted("random", tmp_path, units=(8, 512))
    with pytest.raises(ValueError, match="algorithm: 'random' there, 'grid' here"):
        planted("grid", tmp_path)
    tuner = planted("random", tmp_path, units=(8, 512), overwrite=True)
    tuner.search()
    assert len(tuner.oracle.trials) == 12


def test_keras_tuner_ignores_a_changed_space(tmp_path):
    def tuner(low):
        made = THEIRS["random"](objective=SCORE, max_trials=3, hyperparameters=space(low))
        return keras_tuner.Tuner(made, lambda hp: None, directory=str(tmp_path), project_name="search")

    first = tuner(16)
    first.oracle.verbose = 0
    first.save()
    assert tuner(8).oracle.get_space().space[1].values == [16, 32, 96, 256]


def test_max_trials_can_be_raised_later(tmp_path):
    planted("random", tmp_path, trials=3).search()
    tuner = planted("random", tmp_path, trials=5)
    tuner.search()
    assert states(tuner.oracle) == ["COMPLETED"] * 5


def test_search_of_workers_resumes_without_them(tmp_path, monkeypatch):
    """keras-tuner goes by a file named after the process, finds none and begins anew."""
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker7")
    planted("random", tmp_path, trials=3).search()
    monkeypatch.delenv("KERASTUNER_TUNER_ID")
    assert len(planted("random", tmp_path, trials=3).oracle.trials) == 3
