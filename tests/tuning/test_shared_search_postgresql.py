"""Searches shared through PostgreSQL: killed processes, and many workers at once."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna")
from shared_search import EPOCHS, HEARTBEAT_TIMEOUT, planted_tuner, run_trained, scores, trained_tuner  # noqa: E402 - imports optuna

from deeprnn_keras.tuning import places  # noqa: E402

pytestmark = pytest.mark.long
optuna.logging.set_verbosity(optuna.logging.ERROR)
SCRIPT = str(Path(__file__).with_name("shared_search.py"))
TRIALS, THREADS, INSTANT_TRIALS = 24, 50, 200


def programs():
    """Return the directory of the server's programs."""
    directories = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb")
    return Path(found).parent if found else directories[-1] if directories else None


@pytest.fixture(scope="module")
def server():
    """Start a server in a temporary directory, as another user if this one is root; yield its URL and `stop`."""
    if programs() is None:
        pytest.skip("no PostgreSQL server is installed")
    directory = Path(tempfile.mkdtemp(prefix="postgresql"))
    user = "postgres" if os.getuid() == 0 else None
    if user:
        os.chown(directory, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)

    def run(program, *arguments):
        command = [str(programs() / program), "-D", str(directory / "data"), *arguments]
        subprocess.run(command, check=True, user=user, cwd=directory, stdout=subprocess.DEVNULL)

    run("initdb", "-A", "trust", "-U", "me")
    settings = f"-c listen_addresses= -c unix_socket_directories={directory} -c max_connections=300"
    run("pg_ctl", "-w", "-l", str(directory / "log"), "-o", settings, "start")
    stop = lambda: run("pg_ctl", "-m", "immediate", "stop")  # noqa: E731
    yield f"postgresql://me@/postgres?host={directory}", stop
    if (directory / "data" / "postmaster.pid").exists():
        stop()
    shutil.rmtree(directory)


def test_two_of_four_killed_processes_lose_no_trial(server, tmp_path):
    url, _ = server
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    shared.mkdir(), alone.mkdir()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    started_at = time.perf_counter()
    workers = [
        subprocess.Popen(
            [sys.executable, SCRIPT, url, str(shared), str(TRIALS), str(killed_trial)],
            env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stderr=subprocess.PIPE,
            text=True,
        )
        for killed_trial in (1, 2, 0, 0)  # the number of the trial in which the process kills itself
    ]
    errors = [worker.communicate()[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [-9, -9, 0, 0], errors
    print(f"4 processes, 2 killed: {TRIALS} trials in {time.perf_counter() - started_at:.0f} s")
    one_process = trained_tuner(tmp_path / "alone.journal", alone, TRIALS)
    run_trained(one_process, alone)
    observer = trained_tuner(url, shared, TRIALS, heartbeat_timeout=HEARTBEAT_TIMEOUT)
    assert scores(observer) == scores(one_process) and len(set(scores(observer))) == TRIALS
    assert sum(places.is_lost(trial) for trial in observer.study.trials) == 2
    epochs = [int(line.split()[1]) for line in (shared / "epochs.txt").read_text().splitlines()]
    assert epochs.count(0) == TRIALS  # no trial has started twice: lost ones continue from their checkpoints
    assert epochs.count(EPOCHS - 1) == TRIALS and epochs.count(1) == TRIALS + 2


def test_fifty_workers_lose_no_trial_and_outage_is_named(server, tmp_path):
    url, stop = server
    log, errors = tmp_path / "trials.txt", []

    def work():
        try:
            worker = planted_tuner(url, tmp_path, INSTANT_TRIALS, study="instant")
            worker.log = log
            worker.search(verbose=0)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    started_at = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started_at
    assert not errors, errors
    observer = planted_tuner(url, tmp_path, INSTANT_TRIALS, study="instant")
    assert len(scores(observer)) == INSTANT_TRIALS
    assert sorted(log.read_text().split()) == [f"{place:04d}" for place in range(INSTANT_TRIALS)]
    print(f"{THREADS} workers: {INSTANT_TRIALS} instant trials in {seconds:.1f} s, {INSTANT_TRIALS / seconds:.1f}/s")
    waiting = planted_tuner(url, tmp_path, 1, study="outage")
    stop()
    with pytest.raises(ConnectionError, match=r"storage 'postgresql://me@.*has failed: "):
        waiting.search(verbose=0)
