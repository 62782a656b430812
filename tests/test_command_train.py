"""`deeprnn train`, `evaluate`, and `generate` on one tiny run beside an earlier one, without --output."""

import io
import json
import os
import re
import signal
import subprocess
import threading

import pytest
from rich.console import Console
from test_command import DEEPRNN, TEXT, TINY, deeprnn, error_of

from deeprnn_keras.generation import Score
from deeprnn_keras.tasks.report import score_table


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(directory, what the command wrote)"""
    home = tmp_path_factory.mktemp("home")
    (home / "words [draft].txt").write_text(TEXT, encoding="utf-8")
    earlier = home / "runs" / "kjv_lstm_2x256"
    earlier.mkdir(parents=True)
    (earlier / "model.keras").write_text("mine")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        result = deeprnn("train", "kjv_lstm_2x256", "--text", "words [draft].txt", *TINY, "--epochs", "1")
    assert result.exit_code == 0, result.output
    assert (earlier / "model.keras").read_text() == "mine"
    return home / "runs" / "kjv_lstm_2x256-2", result.stdout


def test_training_reports_compressors_bits_and_files(trained):
    directory, output = trained
    figures = json.loads((directory / "result.json").read_text())
    assert f"{figures['validation']['bits_per_character']:.4f}" in output
    for name, bits in figures["compressors_bits_per_character"].items():
        assert re.search(rf"{name}\W+{bits:.4f}", output), name
    for file in ("model.keras", "curve.png", "result.json"):
        assert f"runs/kjv_lstm_2x256-2/{file}" in output and (directory / file).is_file()
    assert "1/1" in output and "bits per character" in output


def test_training_follows_its_options(trained):
    directory, output = trained
    figures = json.loads((directory / "result.json").read_text())
    symbols = len(set(TEXT))
    assert figures["weights"] == 64 * symbols + 4 * 8 * (64 + 8 + 1) + 9 * symbols
    assert (figures["recipe"]["batch_size"], figures["recipe"]["bptt"], figures["recipe"]["epochs"]) == (4, 8, 1)
    assert f"{len(TEXT):,} characters, vocabulary of {symbols}" in output


def test_the_name_of_the_text_is_shown_as_it_is(trained):
    assert "words [draft].txt" in trained[1]


def bits_of(trained, text):
    from deeprnn_keras.models import load_language_model

    return load_language_model(trained[0]).score(text).bits_per_character


@pytest.mark.parametrize("at", ["", "model.keras"], ids=["directory", "file"])
def test_evaluate(trained, text, at):
    result = deeprnn("evaluate", trained[0] / at, "--text", text)
    assert result.exit_code == 0, result.output
    assert f"{bits_of(trained, TEXT):.4f}" in result.stdout
    assert f"{len(TEXT) - 1:,} characters" in result.stdout and "gzip -9" in result.stdout


def test_evaluate_with_unknown_characters(trained, text):
    text.write_text("in the Zoo was a Zebra", encoding="utf-8")
    message = error_of("evaluate", trained[0], "--text", text)
    assert "'Z' (2 times)" in message and "--skip-unknown" in message
    result = deeprnn("evaluate", trained[0], "--text", text, "--skip-unknown")
    assert result.exit_code == 0, result.output
    assert f"{bits_of(trained, 'in the oo was a ebra'):.4f}" in result.stdout


def test_generate(trained):
    arguments = ["generate", trained[0], "--prompt", "in the ", "--length", "25", "--seed"]
    first, again, other = (deeprnn(*arguments, seed) for seed in (1, 1, 2))
    assert first.exit_code == 0, first.output
    assert first.stdout.startswith("in the ") and len(first.stdout) == 7 + 25 + 1
    assert first.stdout == again.stdout != other.stdout


def test_generate_with_unknown_characters(trained):
    message = error_of("generate", trained[0], "--prompt", "in Zoo")
    assert "'Z' (1 times)" in message and "--skip-unknown" in message
    result = deeprnn("generate", trained[0], "--prompt", "in Zoo", "--skip-unknown", "--length", "5")
    assert result.stdout.startswith("in oo") and len(result.stdout) == 5 + 5 + 1


@pytest.mark.parametrize(
    ("option", "value"), [("--length", "0"), ("--temperature", "0"), ("--temperature", "-1"), ("--prompt", "")]
)
def test_bad_options_of_generate_are_named(trained, option, value):
    options = {"--prompt": "in", option: value}
    assert option[2:] in error_of("generate", trained[0], *(part for pair in options.items() for part in pair))


def test_diverging_run_is_a_failure_with_advice(text, tmp_path):
    options = [*TINY, "--epochs", "1", "--learning-rate", "1e38", "--output", tmp_path / "run"]
    result = deeprnn("train", "kjv_lstm_2x256", "--text", text, *options)
    assert result.exit_code == 1
    assert "Stopped" in result.stdout and "learning_rate" in result.stdout and "global_clipnorm" in result.stdout
    assert f"{tmp_path}/run/model.keras" in result.stdout and (tmp_path / "run" / "model.keras").is_file()


def test_infinite_perplexity_can_be_shown():
    console = Console(file=io.StringIO(), width=100)
    console.print(score_table(Score(nats=1e4, count=1), [("gzip -9", 2.0)], "model"))
    assert "inf" in console.file.getvalue() and "10000.0000" in console.file.getvalue()


# === In a process of its own ===


@pytest.mark.long
def test_ctrl_c_keeps_what_has_been_learned(text, tmp_path):
    command = [*DEEPRNN, "train", "kjv_lstm_2x256", "--text", str(text), *TINY]
    process = subprocess.Popen(
        [*command, "--epochs", "9999", "--output", str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell's & ignores it
    )
    watchdog = threading.Timer(300, process.kill)
    watchdog.start()
    try:
        before = next((line for line in process.stdout if "1/9999" in line), None)
        assert before, "the first epoch has ended"
        process.send_signal(signal.SIGINT)
        after = process.stdout.read()
    finally:
        watchdog.cancel()
        process.kill()
    assert process.wait() == 130, after
    assert "Interrupted" in after and "Traceback" not in after
    result = deeprnn("generate", tmp_path / "run", "--prompt", "in", "--length", "3")
    assert result.exit_code == 0 and len(result.stdout) == 6


@pytest.mark.slow
def test_quick_training_of_the_default_model_beats_gzip(tmp_path):
    command = [*DEEPRNN, "train", "kjv_lstm_2x256", "--quick", "--output", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "run" / "result.json").read_text())
    assert figures["validation"]["bits_per_character"] < figures["compressors_bits_per_character"]["gzip -9"]
