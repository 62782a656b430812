"""Task family audio: `deeprnn train` and `evaluate` on two recordings, their files, and the simulated amplifier."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from rich.console import Console
from test_command import DEEPRNN, deeprnn, error_of

from deeprnn_keras import AudioEffect, Recipe, data, tasks, zoo
from deeprnn_keras.data.data_files import DataFiles
from deeprnn_keras.models import load_model
from deeprnn_keras.tasks import audio
from deeprnn_keras.training.callbacks import EpochHistory
from deeprnn_keras.training.checkpoint_files import newest_first

NAME, RATE = "amp_lstm_1x16", 16000
FAMILY = tasks.families()["audio"]
SMALL = ["--units", "3", "--bptt", "700", "--batch-size", "4", "--epochs", "2"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Write two recordings of the simulated amplifier, the second with a latency, and return the options."""
    directory, pair = tmp_path_factory.mktemp("recordings"), data.simulated_amplifier(2.0, RATE, seed=1, latency=25)
    for name in ("dry", "wet"):
        soundfile.write(directory / f"{name}.wav", getattr(pair, name), RATE, subtype="PCM_24")
    return ["--dry", str(directory / "dry.wav"), "--wet", str(directory / "wet.wav")]


@pytest.fixture(scope="module")
def finished(recordings, tmp_path_factory):
    """Train a small model; return the output directory and the printed text."""
    from eagerly import eagerly

    directory = tmp_path_factory.mktemp("finished") / "run"
    with eagerly():
        result = deeprnn("train", NAME, *recordings, *SMALL, "--output", directory)
    assert result.exit_code == 0, result.output
    return directory, result.stdout


@pytest.fixture
def without_picture(monkeypatch):
    """Leave out the picture, which takes longer than the training."""
    monkeypatch.setattr("deeprnn_keras.training.signal_plot.plot_signals", lambda *arguments: None)


def lstm(x, kernel, recurrent_kernel, bias, head, head_bias):
    """Return the output of an LSTM with a dense head for the inputs (T, d) of one recording, (T,)."""
    h = c = np.zeros(recurrent_kernel.shape[0])
    outputs = []
    for x_t in x:
        i, f, candidate, o = np.split(x_t @ kernel + h @ recurrent_kernel + bias, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(candidate) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        outputs.append(h @ head + head_bias)
    return np.concatenate(outputs)


def error_ratio(target, output):
    return np.sum((target - output) ** 2) / np.sum(target**2)


def test_run_writes_its_score_picture_and_sound(finished, recordings):
    directory, printed = finished
    result = json.loads((directory / "result.json").read_text())
    pair = data.audio_pair(recordings[1], recordings[3])
    assert (result["latency"], result["sample_rate"], result["data"]) == (pair.latency, RATE, "wet")
    test = pair.split()[2]
    target, output = (soundfile.read(directory / f"{name}.wav")[0] for name in ("target", "model"))
    np.testing.assert_allclose(target, test.wet, atol=2e-7)
    assert error_ratio(target, output) == pytest.approx(result["score"]["esr"], rel=1e-3)
    model = load_model(directory, compile=False)
    np.testing.assert_allclose(output, lstm(test.inputs, *model.get_weights()), atol=1e-5)
    assert (directory / "result.png").read_bytes()[:4] == b"\x89PNG" and result["real_time_factor"] > 0
    header = (directory / "history.csv").read_text().splitlines()[0]
    assert set(header.split(",")) == {"epoch", "esr", "loss", "val_esr", "val_loss"}
    assert "wet, 2.0 s at 16,000 Hz, latency of 24 samples removed" in printed and "faster than real time" in printed


def test_evaluation_repeats_the_score(finished, recordings):
    directory, printed = finished
    score = f"{json.loads((directory / 'result.json').read_text())['score']['esr']:.4f}"
    assert score in printed
    for options in ([], recordings):
        result = deeprnn("evaluate", directory, *options)
        assert result.exit_code == 0 and score in result.stdout, result.output


def test_validation_scores_every_sample_after_the_burn_in(finished, recordings):
    """The error-to-signal ratio that `fit` reports equals that of streams that are computed one by one."""
    directory, _ = finished
    model, validation = load_model(directory, compile=False), data.audio_pair(recordings[1], recordings[3]).split()[1]
    model.compile(loss=model.loss_function(), weighted_metrics=model.metric_functions())
    batches = audio._validation_batches(model, [validation])
    found = model.evaluate(batches, verbose=0, return_dict=True)["esr"]
    burn_in, scored = round(audio.BURN_IN_SECONDS * RATE), []
    segment = int(sum(batches.lengths(0))) - burn_in
    assert len(validation.dry) - burn_in - segment < segment
    for start in range(0, len(validation.dry) - burn_in - segment + 1, segment):
        part = validation.slice(start, start + burn_in + segment)
        scored.append((part.wet[burn_in:], audio.model_output(model, part)[burn_in:]))
    assert found == pytest.approx(error_ratio(*np.concatenate(scored, axis=1)), rel=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("eager", "without_picture")
def test_interrupted_run_resumes_bit_identical(finished, recordings, monkeypatch, tmp_path):
    def interrupt(self, batch, logs=None, on_train_batch_end=EpochHistory.on_train_batch_end):
        on_train_batch_end(self, batch, logs)
        if self._epoch == 1 and batch == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EpochHistory, "on_train_batch_end", interrupt)
        result = deeprnn("train", NAME, *recordings, *SMALL, "--output", tmp_path / "run")
    assert result.exit_code == 130, result.output
    result = deeprnn("train", NAME, "--resume", "--output", tmp_path / "run")
    assert result.exit_code == 0, result.output
    models = [load_model(directory, compile=False) for directory in (finished[0], tmp_path / "run")]
    for one, expected in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, expected)


@pytest.mark.long
def test_run_killed_within_an_epoch_resumes_bit_identical(recordings, tmp_path):
    """The carried states, the order of the segments, and the position within a segment are those of the other run."""
    options = [*recordings, *SMALL[:-1], "100"]
    command = [*DEEPRNN, "train", NAME, *options, "--output"]

    def finish(*arguments):
        done = subprocess.run([*DEEPRNN, "train", NAME, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen([*command, str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(newest_first(killed / "checkpoints")) < 2:
        time.sleep(0.01)
    time.sleep(0.2)
    assert process.poll() is None, "the run must be long enough to be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finish("--resume", "--output", str(killed))
    finish(*options, "--output", str(whole))
    results = [json.loads((directory / "result.json").read_text()) for directory in (killed, whole)]
    assert results[0]["resumed_at_update"] and results[0]["score"] == results[1]["score"]
    models = [load_model(directory, compile=False) for directory in (killed, whole)]
    for one, expected in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, expected)


@pytest.mark.slow
@pytest.mark.usefixtures("eager", "without_picture")
def test_one_model_of_several_knob_positions(tmp_path):
    """The knob is a second channel of the input, in training and in scoring."""
    pairs = [data.simulated_amplifier(0.6, RATE, drive=20 * knob, knobs=(knob,)) for knob in (0.1, 0.9)]
    split = audio.split_recordings(pairs)
    config = FAMILY.configure(zoo.info(NAME, units=3), split)
    assert (config.inputs, config.sample_rate) == (2, RATE)
    recipe = Recipe("adam", 0.01, stateful=True, batch_size=2, bptt=2000, epochs=1)
    run = FAMILY.train(config.build(), split, recipe, tmp_path / "run", console=Console(quiet=True))
    assert run.ending == "finished" and run.score["samples"] == sum(len(pair.dry) for pair in split.test)
    assert run.score["esr"] == pytest.approx(
        error_ratio(*(np.concatenate(x) for x in ([p.wet for p in split.test], outputs(run, split)))), rel=1e-5
    )


def outputs(run, split):
    return [audio.model_output(load_model(run.directory, compile=False), pair) for pair in split.test]


def test_models_without_carried_states_read_single_windows():
    model, pair = AudioEffect(2, sample_rate=RATE), data.simulated_amplifier(0.5, RATE)
    batches = FAMILY.batches(model, [pair], 2, seed=0, bptt=500)
    x, y, weights = next(iter(batches))
    assert x.shape == (2, 500 + 640, 1) and y.shape == x.shape and weights.numpy().sum() == 1000
    assert next(iter(audio._validation_batches(model, [pair])))[0].shape[0] > 1


# === Without recordings, and wrong options ===


def test_simulated_amplifier_replaces_missing_recordings(monkeypatch):
    monkeypatch.setattr(audio, "SIMULATED_SECONDS", 0.5)
    split = FAMILY.load_files(zoo.info(NAME), DataFiles())
    assert FAMILY.describe_data(split) == "simulated amplifier, 0.5 s at 48,000 Hz"
    assert FAMILY.data_record(split) == FAMILY.data_record(FAMILY.load_data(None))
    assert FAMILY.data_included(zoo.info(NAME))


def test_wrong_options_are_refused(finished, recordings, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    cases = {
        "require both --dry and --wet, got --dry": (NAME, *recordings[:2]),
        "read two recordings, got --data; pass --dry FILE and --wet FILE": (NAME, "--data", tmp_path / "a.txt"),
        "does not support --quick": (NAME, "--quick"),
        "'language' of model 'kjv_gru_2x256' does not support --dry, --wet": ("kjv_gru_2x256", *recordings),
        "'classification' of model 'digits_gru_2x64' does not support --dry, --wet, --channel": (
            *("digits_gru_2x64", *recordings, "--channel", "0"),
        ),
        "stream is too short: batch_size=4 and bptt=30000": (NAME, *recordings, *SMALL, "--bptt", "30000"),
    }
    for message, options in cases.items():
        assert message in error_of("train", *options, "--output", tmp_path / "run"), options
        assert not (tmp_path / "run").exists()
    config = zoo.info("digits_gru_2x64")
    with pytest.raises(ValueError, match="'classification' does not support --dry, --wet; leave out --dry, --wet"):
        config.family.load_files(config, DataFiles(dry=tmp_path, wet=tmp_path))


def test_recordings_at_another_rate_are_not_scored(finished):
    model = load_model(finished[0], compile=False)
    for pair, message in (
        (
            data.AudioPair(np.zeros(4), np.zeros(4), 8000),
            "reads audio at 16,000 Hz and 0 knobs, got 8,000 Hz and 0 knobs",
        ),
        (
            data.AudioPair(np.zeros(4), np.zeros(4), RATE, knobs=(1,)),
            "got 16,000 Hz and 1 knobs of audio; resample",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            FAMILY.score(model, [pair])


@pytest.mark.long
def test_simulated_amplifier_is_learned_within_ten_minutes(tmp_path):
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "deeprnn_keras.cli", "train", NAME, "--output", str(tmp_path / "run")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["audio_seconds"] == 180 and result["score"]["esr"] < 0.02, result["score"]
    assert time.monotonic() - start < 600
