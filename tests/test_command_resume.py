"""`deeprnn train --resume` after an interrupted run."""

import json

import numpy as np
import pytest
from test_command import TEXT, TINY, deeprnn, error_of

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
