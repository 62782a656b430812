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
    "score that is a text": lambda state: state.update(score="x"),
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
    "seed that is a text": lambda state: state.update(seed="x"),
}


def damage_file(path, damage):
    if callable(damage):
        state = json.loads(path.read_text())
        damage(state)
        damage = json.dumps(state)
    path.write_text(damage)


def planted(directory):
    tuner = planted_tuner("random", directory, trials=3)
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


@pytest.mark.slow
def test_failures_of_workers_end_in_an_error(tmp_path):
    command = [sys.executable, "-c", FAIL, str(tmp_path), str(Path(__file__).parent)]
    with (
        Workers(command, 2, tmp_path / "logs") as workers,
        pytest.raises(RuntimeError, match=r"(?s)the search failed; .*no room for trial 0"),
    ):
        workers.wait()
