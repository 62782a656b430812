"""`deeprnn train --resume` after an interrupted run."""

import json
import subprocess
import sys

import numpy as np
import pytest
from test_command import TEXT, TINY, deeprnn, error_of

from deeprnn_keras.locking import DirectoryLock
from deeprnn_keras.models import load_language_model
from deeprnn_keras.training.callbacks import LossHistory

NAME = "kjv_lstm_2x256"


@pytest.fixture
def base_options(tmp_path, monkeypatch):
    """Write a training text to a new working directory, and return the options that use it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text(TEXT)
    return ["--text", "words.txt", "--epochs", "2", "--dropout", "0.2", "--stateful", *TINY]


def interrupted(monkeypatch, at, *arguments):
    """Return the output of a command that is interrupted by Ctrl-C after update number `at`."""

    def interrupt(self, batch, logs=None, on_train_batch_end=LossHistory.on_train_batch_end):
        on_train_batch_end(self, batch, logs)
        if self.update == at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LossHistory, "on_train_batch_end", interrupt)
        result = deeprnn(*arguments)
    assert result.exit_code == 130, result.output
    return result.stdout


@pytest.mark.slow
def test_resumed_run_is_bit_identical(base_options, monkeypatch, tmp_path):
    """--resume finds the most recent run of the model and needs no other option."""
    assert deeprnn("train", NAME, *base_options, "--output", "whole").exit_code == 0
    updates = json.loads((tmp_path / "whole" / "result.json").read_text())["updates"]
    output = interrupted(monkeypatch, updates // 2 + 3, "train", NAME, *base_options)
    assert f"Resume with: deeprnn train {NAME} --resume --output runs/{NAME}" in output
    resumed = deeprnn("train", NAME, "--resume")
    assert resumed.exit_code == 0 and f"Resuming the run in runs/{NAME}" in resumed.stdout
    models = [load_language_model(directory) for directory in ("whole", f"runs/{NAME}")]
    for one, wanted in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, wanted)
    results = [
        json.loads((tmp_path / directory / "result.json").read_text()) for directory in ("whole", f"runs/{NAME}")
    ]
    assert results[0]["validation"] == results[1]["validation"]
    assert (results[0]["resumed_at_update"], results[1]["resumed_at_update"]) == (None, updates // 2)
    assert not (tmp_path / "runs" / NAME / "checkpoints").exists()
    assert "its run has finished" in error_of("train", NAME, "--resume", "--output", "whole")


OPTIONS = {"model": NAME, "data": "gone.txt", "quick": False, "seed": 0}
DAMAGED = {
    "empty": "",
    "truncated": "{",
    "list": "[]",
    "not UTF-8": b"\xff\xfe",
    "deeply nested": "[" * 100_000,
    "seed that is a text": json.dumps({**OPTIONS, "seed": "x"}),
    "data that is a number": json.dumps({**OPTIONS, "data": 5}),
    "units that are a text": json.dumps({**OPTIONS, "units": "x"}),
    "missing seed": json.dumps({key: value for key, value in OPTIONS.items() if key != "seed"}),
    "unknown option": json.dumps({**OPTIONS, "unknown": 1}),
}


def unfinished_run(directory, options):
    (directory / "checkpoints").mkdir(parents=True)
    (directory / "run.json").write_bytes(options if isinstance(options, bytes) else options.encode())


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_options_are_named_and_skipped(damage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unfinished_run(tmp_path / "runs" / NAME, json.dumps(OPTIONS))
    unfinished_run(tmp_path / "runs" / f"{NAME}-2", DAMAGED[damage])
    path = f"runs/{NAME}-2/run.json: not the options of a run, or damaged: "
    assert path in error_of("train", NAME, "--resume", "--output", f"runs/{NAME}-2")
    message = error_of("train", NAME, "--resume")  # the other run, whose text is missing
    assert f"Skipping a damaged run: {path}" in message and "gone.txt" in message


@pytest.mark.long
def test_second_process_does_not_resume_a_running_training(base_options, monkeypatch):
    interrupted(monkeypatch, 3, "train", NAME, *base_options, "--output", "run")
    command = [sys.executable, "-m", "deeprnn_keras.cli", "train", NAME, "--resume", "--output", "run"]
    others = []

    def on_train_batch_end(self, batch, logs=None):
        others.append(subprocess.run(command, capture_output=True, text=True))
        raise KeyboardInterrupt

    monkeypatch.setattr(LossHistory, "on_train_batch_end", on_train_batch_end)
    assert deeprnn("train", NAME, "--resume", "--output", "run").exit_code == 130
    assert others[0].returncode == 1 and "Traceback" not in others[0].stderr
    assert "/run' is in use by process " in others[0].stderr


def test_directory_that_another_run_has_just_created_is_rejected(base_options, monkeypatch, tmp_path):
    """Both processes find the directory missing; the other one is faster."""
    from deeprnn_keras.tasks import run

    def other_first(directory):
        unfinished_run(tmp_path / "run", json.dumps(OPTIONS))
        return DirectoryLock(directory)

    monkeypatch.setattr(run, "DirectoryLock", other_first)
    assert "'run' exists and is not empty" in error_of("train", NAME, *base_options, "--output", "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == OPTIONS


@pytest.mark.usefixtures("eager")  # a few updates
def test_error_without_a_matching_unfinished_run(base_options, monkeypatch, tmp_path):
    assert f"'runs' holds no unfinished run of {NAME}" in error_of("train", NAME, "--resume")
    (tmp_path / "empty").mkdir()
    assert "it has no checkpoints" in error_of("train", NAME, "--resume", "--output", "empty")
    interrupted(monkeypatch, 3, "train", NAME, *base_options, "--output", "cut")
    for options, message in (
        (["--units", "9"], "was started with units = 8, got units = 9 with --resume"),
        (["--seed", "4"], "was started with seed = 0, got seed = 4 with --resume"),
        (["--quick"], "was started with quick = False, got quick = True with --resume"),
        (["--cell", "gru"], "was started without --cell, got cell = 'gru' with --resume"),
    ):
        assert message in error_of("train", NAME, "--resume", "--output", "cut", *options)
    assert "was started with model = 'kjv" in error_of("train", "char_rnn_2x128", "--resume", "--output", "cut")
    (tmp_path / "words.txt").write_text(TEXT.replace("word", "sword"))
    message = error_of("train", NAME, "--resume", "--output", "cut")
    assert "holds a different run: updates per epoch: " in message and "; data, stream: 'int32 (" in message
