"""Runs killed with SIGKILL, and a full disk."""

import os
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from test_resume import small_run

from deeprnn_keras.training.checkpoint_files import newest_first

HERE = Path(__file__).resolve().parent
KILLS = int(os.environ.get("RESUME_KILLS", "4"))  # number of kills in the long test
# each process runs for only a few seconds after compilation; a lower optimization level shortens compilation
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": "--xla_backend_optimization_level=0"}


def start(directory, *options):
    command = [sys.executable, str(HERE / "resumable.py"), str(directory), *map(str, options)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def final_results(directory, *options):
    """Return the weights and metrics at the end of a run that is not killed."""
    process = start(directory, *options)
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]
    with np.load(directory / "end.npz") as stored:
        return [stored[name] for name in stored.files]


def wait_for_progress(process, checkpoints, before):
    """Wait until the process has written a checkpoint, so that every process makes progress."""
    while process.poll() is None and newest_first(checkpoints)[:1] == before:
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("kills", "implementation"),
    [pytest.param(1, "loop", marks=pytest.mark.long), pytest.param(KILLS, "auto", marks=pytest.mark.long)],
)
def test_killed_run_is_bit_identical(tmp_path, kills, implementation):
    """Each process is killed at a random time after its first checkpoint: in an update, a write, or a validation."""
    rng = np.random.default_rng(0)
    options = 20 * kills, 5, implementation
    uninterrupted, killed = tmp_path / "uninterrupted", tmp_path / "killed"
    uninterrupted.mkdir(), killed.mkdir()
    wanted = final_results(uninterrupted, *options)
    for number in range(kills):
        before = newest_first(killed / "checkpoints")[:1] if number else []
        process = start(killed, *options)
        wait_for_progress(process, killed / "checkpoints", before)
        time.sleep(rng.uniform(0, 0.5))
        assert process.poll() is None, "the run must be long enough for all kills"
        process.kill()
        process.communicate()
    for value, expected in zip(final_results(killed, *options), wanted, strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 96 KB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(directory)], capture_output=True
    ).returncode:
        pytest.skip("mounting a file system is not permitted; test_resume.py limits the file size instead")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


@pytest.mark.long
@pytest.mark.usefixtures("eager")
def test_full_disk_keeps_earlier_checkpoints(small_disk):
    """Another file fills the disk between two checkpoints; the run resumes once space is free."""
    model, data, resume = small_run(small_disk / "run")
    filler = small_disk / "other.bin"

    def fill(batch, logs):
        if batch == 4:
            with pytest.raises(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"0" * 1024)

    filling = keras.callbacks.LambdaCallback(on_train_batch_end=fill)
    with pytest.raises(OSError, match=r"No space left on device; the checkpoint of update 3 is kept. Free disk space"):
        model.fit(data, epochs=4, callbacks=[filling, resume], shuffle=False, verbose=0)
    assert [path.name for path in newest_first(small_disk / "run")] == [
        "updates-000000003.safetensors",
        "updates-000000000.safetensors",
    ]
    filler.unlink()
    model, data, resume = small_run(small_disk / "run")
    model.fit(data, epochs=4, callbacks=[resume], shuffle=False, verbose=0)
    assert resume.resumed_at == 3
