"""Searches with damaged or crafted files, and searches whose trials fail."""

import json
import sys
from pathlib import Path

import pytest
from planted_search import planted_tuner

from deeprnn_keras.reading import DamagedFileError
from deeprnn_keras.tuning import Workers


def statuses(tuner):
    return sorted(trial.status for trial in tuner.oracle.trials.values())


# === Damaged and crafted files ===

TRIAL = {
    "empty": "",
    "truncated": "{",
    "list": "[]",
    "null": "null",
    "deeply nested": "[" * 100_000,
    "other id": lambda state: state.update(trial_id="../../elsewhere"),
    "unknown status": lambda state: state.update(status="x"),
    "values that are a list": lambda state: state["hyperparameters"].update(values=[]),
    "unknown class": lambda state: state["hyperparameters"]["space"][0].update(class_name="Lambda"),
    "metric without observations": lambda state: state["metrics"]["metrics"].update(x={}),
    "metric with no observations": lambda state: state["metrics"]["metrics"]["score"].update(observations=[]),
    "observation without values": lambda state: state["metrics"]["metrics"]["score"]["observations"][0].update(
        value=[]
    ),
    "score that is a text": lambda state: state.update(score="x"),
    "complete without a score": lambda state: state.update(score=None),
    "complete with a score of NaN": lambda state: state.update(score=float("nan")),
    "missing value": lambda state: state["hyperparameters"]["values"].pop("units"),
    "value outside of its range": lambda state: state["hyperparameters"]["values"].update(units=10**30),
    "missing hyperparameter": lambda state: state["hyperparameters"]["space"].pop(),
}
ORACLE = {
    "empty": "",
    "list": "[]",
    "empty dictionary": "{}",
    "deeply nested": "[" * 100_000,
    "ids outside of the directory": lambda state: state.update(start_order=["../../elsewhere"]),
    "unknown condition": lambda state: state["hyperparameters"]["space"][1]["config"].update(
        conditions=[{"class_name": "Lambda", "config": {}}]
    ),
    "condition without values": lambda state: state["hyperparameters"]["space"][1]["config"].update(
        conditions=[{"class_name": "Parent", "config": {"name": [], "values": [1]}}]
    ),
    "other range": lambda state: state["hyperparameters"]["space"][0]["config"].update(max_value=10**9),
    "missing hyperparameter": lambda state: state["hyperparameters"]["space"].pop(),
    "trials with a gap": lambda state: state["start_order"].pop(1),
    "trial that ended without starting": lambda state: state["end_order"].append("7"),
    "trial that ended twice": lambda state: state["end_order"].append("0"),
    "seed that is a text": lambda state: state.update(seed="x"),
    "negative state of the generator": lambda state: state.update(seed_state=-1),
    "negative number of runs": lambda state: state.update(run_times={"0": -(10**30)}),
}
HYPERBAND = {
    "brackets that are a text": lambda state: state.update(brackets="x"),
    "unknown bracket": lambda state: state["brackets"][0].update(bracket_num=9),
    "negative bracket": lambda state: state.update(current_bracket=-1),
    "rounds of another bracket": lambda state: state["brackets"][0]["rounds"].pop(),
    "unknown trial": lambda state: state["brackets"][0]["rounds"][0][0].update(id="../../elsewhere"),
    "iteration above the last": lambda state: state.update(current_iteration=3),
}
HYPERBAND_TRIAL = {
    "too many epochs": {"tuner/epochs": 10**9},
    "no epochs": {"tuner/epochs": 0},
    "initial epoch after the last": {"tuner/initial_epoch": 9},
    "trial outside of the directory": {"tuner/trial_id": "../../elsewhere"},
}


def damage_file(path, damage):
    if callable(damage):
        state = json.loads(path.read_text())
        damage(state)
        damage = json.dumps(state)
    path.write_text(damage)


def planted(directory, algorithm="random"):
    tuner = planted_tuner(algorithm, directory, trials=3)
    tuner.search()
    return tuner


@pytest.mark.parametrize("damage", TRIAL)
def test_damaged_trial_is_renamed_and_the_search_continues(damage, tmp_path):
    """Some hyperparameters of the search depend on others."""
    planted(tmp_path)
    path = tmp_path / "search" / "trial_0" / "trial.json"
    damage_file(path, TRIAL[damage])
    with pytest.warns(UserWarning, match=f"{path}: not the record of a trial, or damaged: .*; it is renamed"):
        tuner = planted_tuner("random", tmp_path, trials=3)
    tuner.search()
    assert statuses(tuner) == [*["COMPLETED"] * 3, "FAILED"]
    assert not list(tmp_path.rglob("elsewhere*"))


@pytest.mark.parametrize("damage", ORACLE)
def test_damaged_state_is_named_and_the_previous_one_used(damage, tmp_path):
    planted(tmp_path)
    path = tmp_path / "search" / "oracle.json"
    damage_file(path, ORACLE[damage])
    with pytest.warns(UserWarning, match=f"{path}: not the state of a search, or damaged: .*; resuming the search"):
        tuner = planted_tuner("random", tmp_path, trials=3)
    tuner.search()
    assert statuses(tuner) == ["COMPLETED"] * 3
    assert not list(tmp_path.rglob("elsewhere*"))


@pytest.mark.parametrize("damage", HYPERBAND)
def test_damaged_brackets_are_named_and_the_previous_ones_used(damage, tmp_path):
    planted(tmp_path, "hyperband")
    path = tmp_path / "search" / "oracle.json"
    damage_file(path, HYPERBAND[damage])
    with pytest.warns(UserWarning, match=f"{path}: not the state of a search, or damaged: .*; resuming the search"):
        tuner = planted_tuner("hyperband", tmp_path, trials=3)
    tuner.search()
    assert statuses(tuner) == ["COMPLETED"] * 3
    assert not list(tmp_path.rglob("elsewhere*"))


@pytest.mark.parametrize("values", HYPERBAND_TRIAL.values(), ids=HYPERBAND_TRIAL)
def test_trial_with_other_epochs_is_renamed(values, tmp_path):
    planted(tmp_path, "hyperband")
    path = tmp_path / "search" / "trial_0" / "trial.json"
    damage_file(path, lambda state: state["hyperparameters"]["values"].update(values))
    with pytest.warns(UserWarning, match=f"{path}: not the record of a trial, or damaged: .*; it is renamed"):
        tuner = planted_tuner("hyperband", tmp_path, trials=3)
    tuner.search()
    assert statuses(tuner) == [*["COMPLETED"] * 3, "FAILED"]
    assert not list(tmp_path.rglob("elsewhere*"))


def test_arguments_take_precedence_over_those_in_the_state(tmp_path):
    """A factor of 1 would have infinitely many brackets."""
    planted(tmp_path, "hyperband")
    changed = {"factor": 1, "max_epochs": 10**9, "hyperband_iterations": 10**9, "seed": 7, "display": {"x": []}}
    damage_file(tmp_path / "search" / "oracle.json", lambda state: state.update(changed))
    tuner = planted_tuner("hyperband", tmp_path, trials=5)
    tuner.search()
    assert statuses(tuner) == ["COMPLETED"] * 5
    state = json.loads((tmp_path / "search" / "oracle.json").read_text())
    assert (state["factor"], state["max_epochs"], state["hyperband_iterations"], state["seed"]) == (2, 4, 1, 4)


@pytest.mark.parametrize("settings", ["", "{", "[]", "null", "[" * 100_000], ids=lambda text: text[:3])
def test_damaged_settings_are_named(settings, tmp_path):
    planted(tmp_path)
    path = tmp_path / "search" / "search.json"
    path.write_text(settings)
    with pytest.raises(DamagedFileError, match=f"^{path}: not a JSON file, or damaged: "):
        planted_tuner("random", tmp_path, trials=3)


# === Failures ===


def test_search_with_one_complete_trial_does_not_fail(tmp_path):
    tuner = planted_tuner("random", tmp_path, trials=3)
    run, count = tuner.run_trial, []

    def fail_twice(trial):
        count.append(trial)
        if len(count) <= 2:
            raise OSError("no room")
        return run(trial)

    tuner.run_trial = fail_twice
    tuner.search()
    assert statuses(tuner) == ["COMPLETED", "FAILED", "FAILED"]


def test_consecutive_failures_are_reported_by_the_first_of_them(tmp_path):
    tuner = planted_tuner("random", tmp_path, trials=9)
    run, count = tuner.run_trial, []

    def fail_later(trial):
        count.append(trial)
        if len(count) > 1:
            raise OSError(f"no room for trial {trial.trial_id}")
        return run(trial)

    tuner.run_trial = fail_later
    with pytest.raises(RuntimeError, match=r"(?s)3 consecutive trials failed; .*no room for trial 1"):
        tuner.search()
    assert statuses(tuner) == ["COMPLETED", *["FAILED"] * 3]


FAIL = """
import sys
sys.path.insert(0, sys.argv[2])
from planted_search import planted_tuner

tuner = planted_tuner("random", sys.argv[1], trials=2)

def fail(trial):
    raise OSError(f"no room for trial {trial.trial_id}")

tuner.run_trial = fail
tuner.search()
"""


@pytest.mark.long
def test_failures_of_workers_end_in_an_error(tmp_path):
    command = [sys.executable, "-c", FAIL, str(tmp_path), str(Path(__file__).parent)]
    with (
        Workers(command, 2, tmp_path / "logs") as workers,
        pytest.raises(RuntimeError, match=r"(?s)the search failed; .*no room for trial 0"),
    ):
        workers.wait()


WITHOUT_CHIEF = """
import os, sys, time

while "chief" not in os.environ["KERASTUNER_TUNER_ID"] and not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
sys.exit("chief" not in os.environ["KERASTUNER_TUNER_ID"])
"""


@pytest.mark.parametrize("fails", [False, True])
def test_worker_that_runs_after_the_end_of_the_chief_is_not_waited_for(fails, tmp_path, monkeypatch):
    """The worker waits forever, or fails and is not restarted."""
    monkeypatch.setattr("deeprnn_keras.tuning.workers.LATE_WORKER_SECONDS", 2.0)
    failure = tmp_path / "failure"

    def on_poll():
        if fails and "chief" not in workers.pids():
            failure.touch()

    with Workers([sys.executable, "-c", WITHOUT_CHIEF, str(failure)], 2, tmp_path) as workers:
        workers.wait(on_poll)
        assert workers._finished == {"worker0", "worker1"} and workers._restarts == {}
    assert workers.pids() == {}
