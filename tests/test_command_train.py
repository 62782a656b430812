"""`deeprnn train`, `evaluate`, and `generate` on a tiny run whose default output directory is taken."""

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
    """Output directory and printed report of a run."""
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


def test_report_shows_score_compressors_and_files(trained):
    directory, output = trained
    result = json.loads((directory / "result.json").read_text())
    assert f"{result['validation']['bits_per_character']:.4f}" in output
    for name, bits in result["compressors_bits_per_character"].items():
        assert re.search(rf"{name}\W+{bits:.4f}", output), name
    for file in ("model.keras", "curve.png", "result.json"):
        assert f"runs/kjv_lstm_2x256-2/{file}" in output and (directory / file).is_file()
    assert "1/1" in output and "bits per character" in output


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(  # a tied head, and one with hidden layers
    "name",
    [
        pytest.param("awd_lstm_ptb_char", marks=pytest.mark.slow),
        pytest.param("pascanu_dots_ptb_char", marks=pytest.mark.long),
    ],
)
def test_run_with_another_head_ends_with_result_curve_and_sample(name, text, tmp_path):
    text.write_text(TEXT[:1000])  # an eager update takes longer than a compiled one
    result = deeprnn("train", name, "--text", text, *TINY, "--epochs", "1", "--output", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert {"result.json", "sample.txt", "curve.png"} <= {path.name for path in (tmp_path / "run").iterdir()}


def test_options_are_applied(trained):
    directory, output = trained
    result = json.loads((directory / "result.json").read_text())
    symbols = len(set(TEXT))
    assert result["num_params"] == 64 * symbols + 4 * 8 * (64 + 8 + 1) + 9 * symbols
    assert (result["recipe"]["batch_size"], result["recipe"]["bptt"], result["recipe"]["epochs"]) == (4, 8, 1)
    assert f"{len(TEXT):,} characters, vocabulary of {symbols}" in output


def test_text_name_with_markup_is_printed_literally(trained):
    assert "words [draft].txt" in trained[1]


def bits_of(trained, text):
    from deeprnn_keras.models import load_language_model

    return load_language_model(trained[0]).score(text).bits_per_character


@pytest.mark.parametrize("file", ["", "model.keras"], ids=["directory", "file"])
def test_evaluate_scores_the_text(trained, text, file):
    result = deeprnn("evaluate", trained[0] / file, "--text", text)
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


def test_generate_is_reproducible(trained):
    arguments = ["generate", trained[0], "--prompt", "in the ", "--length", "25", "--seed"]
    first, repeated, other = (deeprnn(*arguments, seed) for seed in (1, 1, 2))
    assert first.exit_code == 0, first.output
    assert first.stdout.startswith("in the ") and len(first.stdout) == 7 + 25 + 1
    assert first.stdout == repeated.stdout != other.stdout


def test_generate_with_unknown_characters(trained):
    message = error_of("generate", trained[0], "--prompt", "in Zoo")
    assert "'Z' (1 times)" in message and "--skip-unknown" in message
    result = deeprnn("generate", trained[0], "--prompt", "in Zoo", "--skip-unknown", "--length", "5")
    assert result.stdout.startswith("in oo") and len(result.stdout) == 5 + 5 + 1


@pytest.mark.parametrize(
    ("option", "value"), [("--length", "0"), ("--top-k", "0"), ("--temperature", "-1"), ("--prompt", "")]
)
def test_invalid_generate_option_is_named(trained, option, value):
    options = {"--prompt": "in", option: value}
    message = error_of("generate", trained[0], *(part for pair in options.items() for part in pair))
    assert option[2:].replace("-", "_") in message


@pytest.mark.usefixtures("eager")  # a few updates
def test_diverging_run_fails_with_advice(text, tmp_path):
    options = [*TINY, "--epochs", "1", "--learning-rate", "1e38", "--output", tmp_path / "run"]
    result = deeprnn("train", "kjv_lstm_2x256", "--text", text, *options)
    assert result.exit_code == 1
    assert "Stopped" in result.stdout and "learning_rate" in result.stdout and "global_clipnorm" in result.stdout
    assert f"{tmp_path}/run/model.keras" in result.stdout and (tmp_path / "run" / "model.keras").is_file()


def test_infinite_perplexity_is_printed():
    console = Console(file=io.StringIO(), width=100)
    console.print(score_table(Score(nats=1e4, count=1), [("gzip -9", 2.0)], "model"))
    assert "inf" in console.file.getvalue() and "10000.0000" in console.file.getvalue()


# === In a separate process ===


@pytest.mark.long
def test_ctrl_c_saves_the_model(text, tmp_path):
    command = [*DEEPRNN, "train", "kjv_lstm_2x256", "--text", str(text), *TINY]
    process = subprocess.Popen(
        [*command, "--epochs", "9999", "--output", str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),  # background jobs of a shell ignore SIGINT
    )
    watchdog = threading.Timer(300, process.kill)
    watchdog.start()
    try:
        first_epoch = next((line for line in process.stdout if "1/9999" in line), None)
        assert first_epoch, "no line about the first epoch was printed"
        process.send_signal(signal.SIGINT)
        output = process.stdout.read()
    finally:
        watchdog.cancel()
        process.kill()
    assert process.wait() == 130, output
    assert "Interrupted" in output and "Traceback" not in output
    result = deeprnn("generate", tmp_path / "run", "--prompt", "in", "--length", "3")
    assert result.exit_code == 0 and len(result.stdout) == 6


@pytest.mark.long
def test_quick_run_of_the_default_model_beats_gzip(tmp_path):
    command = [*DEEPRNN, "train", "kjv_lstm_2x256", "--quick", "--output", str(tmp_path / "run")]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["validation"]["bits_per_character"] < result["compressors_bits_per_character"]["gzip -9"]
