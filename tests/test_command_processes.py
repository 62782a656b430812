"""Option --processes of `deeprnn train`: start and end of the processes on this machine, and refused values."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from test_command import error_of

from deeprnn_keras.cli.exit_codes import INTERRUPTED
from deeprnn_keras.cli.processes import run_processes

INDEX = "import os; index = int(os.environ['KERAS_DISTRIBUTION_PROCESS_ID'])\n"


def run(program, count=3):
    return run_processes([sys.executable, "-c", INDEX + textwrap.dedent(program)], count)


def test_every_process_gets_its_place_and_the_first_one_prints(capfd, tmp_path):
    program = f"""
        address = os.environ["KERAS_DISTRIBUTION_JOB_ADDRESSES"]
        open(r"{tmp_path}/" + str(index), "w").write(address + os.environ["KERAS_DISTRIBUTION_NUM_PROCESSES"])
        print("process", index)
    """
    assert run(program) == 0
    assert capfd.readouterr().out == "process 0\n"
    places = {(tmp_path / str(index)).read_text() for index in range(3)}
    assert len(places) == 1 and places.pop().startswith("127.0.0.1:")


def test_failed_process_ends_the_others_and_is_shown(capfd):
    program = """
        import time
        if index == 2:
            raise SystemExit("out of memory")
        time.sleep(100)
    """
    assert run(program) == 1
    error = capfd.readouterr().err
    assert error == "Process 2 of 3 ended with exit code 1; the others are stopped.\nIts output:\nout of memory\n"


def test_killed_process_is_named(capfd):
    program = """
        import signal, time
        if index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(100)
    """
    assert run(program, 2) == 1
    assert capfd.readouterr().err == (
        "Process 1 of 2 was ended by SIGKILL; the others are stopped.\nIt has printed nothing.\n"
    )


def test_interrupted_processes_are_a_regular_end():
    assert run(f"raise SystemExit({INTERRUPTED} if index else 0)", 2) == INTERRUPTED


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interruption_is_passed_to_all_processes(sent, tmp_path):
    """Each process saves and ends; the command waits for them."""
    child = INDEX + textwrap.dedent(f"""
        import signal, sys
        def end(*_):
            open(r"{tmp_path}/" + str(index), "w").write("saved")
            sys.exit({INTERRUPTED})
        signal.signal(signal.SIGTERM, end)
        print("started", flush=True)
        signal.pause()
    """)
    parent = (
        "import signal, sys; from deeprnn_keras.cli.processes import run_processes\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.exit(run_processes([sys.executable, '-c', {child!r}], 2))"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "started\n"
        while not all(_is_waiting(pid) for pid in _children(process.pid)):
            pass
        process.send_signal(sent)
        assert process.wait(60) == INTERRUPTED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def _children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()


def _is_waiting(pid):
    """Return whether a process handles SIGTERM, signal 15."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> 14 & 1)


def test_unsupported_processes_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = error_of("train", "kjv_lstm_2x256", "--processes", "2")
    assert "--processes 2 requires the JAX backend, the current backend is 'tensorflow'" in error
    assert "tf.distribute.MirroredStrategy" in error
    assert "does not support --processes" in error_of("train", "adding_lstm_2x77", "--processes", "2")
    assert "0 is not in the range x>=1" in error_of("train", "kjv_lstm_2x256", "--processes", "0", code=2)
    assert not list(tmp_path.iterdir())
