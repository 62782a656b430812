"""Searches killed with SIGKILL, with one process and with workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deeprnn_keras.tuning.trial_records import read_trials
from deeprnn_keras.tuning.workers import Workers

SCRIPT = str(Path(__file__).with_name("planted_search.py"))
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
ALGORITHMS = [pytest.param(name, marks=pytest.mark.long) for name in ("random", "bayesian", "hyperband", "grid")]


def start(algorithm, directory, seconds, killed_write="none"):
    command = [sys.executable, SCRIPT, algorithm, str(directory), str(seconds), killed_write]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def started_trials(directory):
    path = directory / "search" / "runs.txt"
    return path.read_text().split()[::2] if path.exists() else []


def records(directory):
    return read_trials(directory / "search", "score")


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.stderr.read()[-3000:]
        time.sleep(0.01)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_search_killed_three_times_completes_all_trials(algorithm, tmp_path):
    process = start(algorithm, tmp_path, 0.6)  # is killed during a trial
    wait_for(lambda: len(started_trials(tmp_path)) == 3, process)
    time.sleep(0.3)
    process.kill(), process.communicate()
    running = [record.trial_id for record in records(tmp_path) if record.status == "RUNNING"]
    assert len(running) == 1
    process = start(algorithm, tmp_path, 0.0, killed_write="9")  # is killed during a file write
    assert process.wait() == -signal.SIGKILL, process.stderr.read()[-3000:]
    assert [path for path in (tmp_path / "search").rglob(".*.json") if '{"half' in path.read_text()]
    process = start(algorithm, tmp_path, 0.3)  # is killed as soon as a record shows that its trial has ended
    ended = sum(record.complete for record in records(tmp_path))
    wait_for(lambda: sum(record.complete for record in records(tmp_path)) > ended, process)
    process.kill(), process.communicate()
    process = start(algorithm, tmp_path, 0.0)
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]
    assert [record.status for record in records(tmp_path)] == ["COMPLETED"] * 12
    assert 12 < len(started_trials(tmp_path)) <= 15  # only the running trials are repeated


@pytest.mark.long
@pytest.mark.parametrize("algorithm", ["hyperband", "grid"])
def test_killed_worker_loses_no_trial(algorithm, tmp_path):
    workers = Workers([sys.executable, SCRIPT, algorithm, str(tmp_path), "0.5", "none"], 2, tmp_path / "logs")
    killed = []

    def kill():
        if not killed and len(started_trials(tmp_path)) >= 4:
            killed.append(workers.pids()["worker1"])
            os.kill(killed[0], signal.SIGKILL)

    with workers:
        workers.wait(kill)
    assert killed and [record.status for record in records(tmp_path)] == ["COMPLETED"] * 12
    names = (tmp_path / "search" / "runs.txt").read_text().split()[1::2]
    assert set(names) == {"worker0", "worker1"}


@pytest.mark.long
def test_trial_of_a_lost_worker_is_reassigned(tmp_path):
    """A lost worker is not restarted, as if it ran on another machine; its trial is reassigned after the timeout."""
    workers = Workers([sys.executable, SCRIPT, "random", str(tmp_path), "0.5", "none"], 2, tmp_path / "logs")
    killed = []

    def kill():
        if not killed and len(started_trials(tmp_path)) >= 4:
            killed.append(workers.pids()["worker1"])
            os.kill(killed[0], signal.SIGKILL)
            workers._finished.add("worker1")

    with workers:
        workers.wait(kill)
        chief = workers._processes["chief"]
        chief.wait(timeout=40)  # the chief exits without being terminated
    assert chief.returncode == 0
    assert [record.status for record in records(tmp_path)] == ["COMPLETED"] * 12


@pytest.mark.long
def test_worker_restarts_after_many_trials(tmp_path):
    arguments = [SCRIPT, "random", str(tmp_path), "0", "none"]
    code = "from deeprnn_keras.tuning import workers; workers.TRIALS_PER_PROCESS = 5; import runpy, sys; "
    code += f"sys.argv = {arguments!r}; runpy.run_path({SCRIPT!r}, run_name='__main__')"
    with Workers([sys.executable, "-c", code], 1, tmp_path / "logs") as workers:
        first, seen = workers.pids()["worker0"], set()
        workers.wait(lambda: seen.update([workers.pids().get("worker0", first)]))
    assert len(seen) == 3  # 5, 5, and 2 trials
    assert [record.status for record in records(tmp_path)] == ["COMPLETED"] * 12
    assert len(started_trials(tmp_path)) == 12


def test_error_of_repeatedly_failing_worker_ends_with_its_log(tmp_path):
    command = [
        sys.executable,
        "-c",
        "import os, sys, time\nif 'worker' in os.environ['KERASTUNER_TUNER_ID']: "
        "sys.exit('no such file')\ntime.sleep(60)",
    ]
    with Workers(command, 1, tmp_path / "logs") as workers, pytest.raises(RuntimeError, match="no such file"):
        workers.wait()
