"""Searches killed with SIGKILL, alone and with workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deeprnn_keras.tuning.records import read_trials
from deeprnn_keras.tuning.workers import Workers

SCRIPT = str(Path(__file__).with_name("tunable.py"))
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
ALGORITHMS = [pytest.param(name, marks=pytest.mark.long) for name in ("random", "bayesian", "hyperband", "grid")]


def start(algorithm, directory, seconds, death="none"):
    command = [sys.executable, SCRIPT, algorithm, str(directory), str(seconds), death]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def trials_begun(directory):
    path = directory / "search" / "runs.txt"
    return path.read_text().split()[::2] if path.exists() else []


def records(directory):
    return read_trials(directory / "search", "score")


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.stderr.read()[-3000:]
        time.sleep(0.01)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_search_killed_at_three_moments_ends_with_twelve_trials(algorithm, tmp_path):
    process = start(algorithm, tmp_path, 0.6)  # inside a trial
    wait_for(lambda: len(trials_begun(tmp_path)) == 3, process)
    time.sleep(0.3)
    process.kill(), process.communicate()
    running = [record.trial_id for record in records(tmp_path) if record.status == "RUNNING"]
    assert len(running) == 1
    process = start(algorithm, tmp_path, 0.0, death="9")  # inside a file write
    assert process.wait() == -signal.SIGKILL, process.stderr.read()[-3000:]
    assert [path for path in (tmp_path / "search").rglob(".*.json") if '{"half' in path.read_text()]
    process = start(algorithm, tmp_path, 0.3)  # between two trials, as near as can be seen from outside
    ended = sum(record.complete for record in records(tmp_path))
    wait_for(lambda: sum(record.complete for record in records(tmp_path)) > ended, process)
    process.kill(), process.communicate()
    process = start(algorithm, tmp_path, 0.0)
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]
    assert [record.status for record in records(tmp_path)] == ["COMPLETED"] * 12
    assert 12 < len(trials_begun(tmp_path)) <= 15  # at most the one that ran is run again


@pytest.mark.long
@pytest.mark.parametrize("algorithm", ["hyperband", "grid"])
def test_killed_worker_loses_no_trial(algorithm, tmp_path):
    workers = Workers([sys.executable, SCRIPT, algorithm, str(tmp_path), "0.5", "none"], 2, tmp_path / "logs")
    killed = []

    def kill():
        if not killed and len(trials_begun(tmp_path)) >= 4:
            killed.append(workers.pids()["worker1"])
            os.kill(killed[0], signal.SIGKILL)

    with workers:
        workers.wait(kill)
    assert killed and [record.status for record in records(tmp_path)] == ["COMPLETED"] * 12
    names = (tmp_path / "search" / "runs.txt").read_text().split()[1::2]
    assert set(names) == {"worker0", "worker1"}


@pytest.mark.long
def test_trial_of_a_worker_that_never_returns_is_reassigned(tmp_path, monkeypatch):
    """As on another machine: nobody restarts it; the other worker takes its trial over when the lease has expired."""
    workers = Workers([sys.executable, SCRIPT, "random", str(tmp_path), "0.5", "none"], 2, tmp_path / "logs")
    killed = []

    def kill():
        if not killed and len(trials_begun(tmp_path)) >= 4:
            killed.append(workers.pids()["worker1"])
            os.kill(killed[0], signal.SIGKILL)
            workers._ended.add("worker1")

    with workers:
        workers.wait(kill)
        chief = workers._processes["chief"]
        chief.wait(timeout=40)  # it ends by itself
    assert chief.returncode == 0
    assert [record.status for record in records(tmp_path)] == ["COMPLETED"] * 12


@pytest.mark.slow
def test_worker_restarts_after_many_trials(tmp_path):
    """Which releases the memory that XLA keeps."""
    arguments = [SCRIPT, "random", str(tmp_path), "0", "none"]
    code = "from deeprnn_keras.tuning import workers; workers.FRESH_AFTER = 5; import runpy, sys; "
    code += f"sys.argv = {arguments!r}; runpy.run_path({SCRIPT!r}, run_name='__main__')"
    with Workers([sys.executable, "-c", code], 1, tmp_path / "logs") as workers:
        first, seen = workers.pids()["worker0"], set()
        workers.wait(lambda: seen.update([workers.pids().get("worker0", first)]))
    assert len(seen) == 3  # 5, 5 and 2 trials
    assert [record.status for record in records(tmp_path)] == ["COMPLETED"] * 12
    assert len(trials_begun(tmp_path)) == 12


def test_failing_workers_end_the_search_with_their_stderr(tmp_path):
    command = [
        sys.executable,
        "-c",
        "import os, sys, time\nif 'worker' in os.environ['KERASTUNER_TUNER_ID']: "
        "sys.exit('no such text')\ntime.sleep(60)",
    ]
    with Workers(command, 1, tmp_path / "logs") as workers, pytest.raises(RuntimeError, match="no such text"):
        workers.wait()
