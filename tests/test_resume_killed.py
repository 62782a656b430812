"""SIGKILL at random moments, again and again, and a disk that fills up."""

import os
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from test_resume import small

from deeprnn_keras.training.checkpoint_files import newest_first

HERE = Path(__file__).resolve().parent
KILLS = int(os.environ.get("RESUME_KILLS", "4"))
# every life compiles anew, and what is compiled runs for seconds: all lives, the whole one too, compile in less time
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": "--xla_backend_optimization_level=0"}


def script(folder, epochs, every):
    command = [sys.executable, str(HERE / "resumable.py"), str(folder), str(epochs), str(every)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def ended(folder, epochs, every):
    """The weights and figures at the end of a run that is left alone."""
    process = script(folder, epochs, every)
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]
    with np.load(folder / "end.npz") as stored:
        return [stored[name] for name in stored.files]


def wait_for_progress(process, checkpoints, before):
    """Until the process has written a checkpoint of its own, so that every life gets on."""
    while process.poll() is None and newest_first(checkpoints)[:1] == before:
        time.sleep(0.005)


@pytest.mark.slow
def test_killed_again_and_again_it_ends_as_if_never_killed(tmp_path):
    """Each life is killed at a random moment after its first checkpoint: in an update, in a write, in a validation."""
    rng = np.random.default_rng(0)
    epochs, every = 6 * KILLS, 5
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir(), cut.mkdir()
    wanted, kills = ended(whole, epochs, every), 0
    while kills < KILLS:
        before = newest_first(cut / "checkpoints")[:1] if kills else []
        process = script(cut, epochs, every)
        wait_for_progress(process, cut / "checkpoints", before)
        time.sleep(rng.uniform(0, 0.5))
        assert process.poll() is None, "the training is long enough for so many kills"
        process.kill()
        process.communicate()
        kills += 1
    for value, right in zip(ended(cut, epochs, every), wanted, strict=True):
        np.testing.assert_array_equal(value, right)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 96 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("a small file system needs the right to mount one; test_resume.py has a limit on files instead")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_during_a_save(small_disk):
    """Something else takes the room between two saves; once there is room again the training goes on."""
    model, data, resume = small(small_disk / "run")
    filler = small_disk / "other.bin"

    def fill(batch, logs):
        if batch == 4:
            with pytest.raises(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"0" * 1024)

    filling = keras.callbacks.LambdaCallback(on_train_batch_end=fill)
    with pytest.raises(OSError, match=r"No space left on device; the checkpoint of update 3 is kept. Make room"):
        model.fit(data, epochs=4, callbacks=[filling, resume], shuffle=False, verbose=0)
    assert [path.name for path in newest_first(small_disk / "run")] == [
        "updates-000000003.safetensors",
        "updates-000000000.safetensors",
    ]
    filler.unlink()
    model, data, resume = small(small_disk / "run")
    model.fit(data, epochs=4, callbacks=[resume], shuffle=False, verbose=0)
    assert resume.resumed_at == 3
