"""The command `deeprnn`, from the outside."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from deeprnn_keras import zoo
from deeprnn_keras.cli import main
from deeprnn_keras.generation import Score
from deeprnn_keras.tasks.report import score_table

WORDS = "in the beginning was a word and then there were many words of all sorts"
TEXT = " ".join(np.random.default_rng(5).choice(WORDS.split(), size=900))
DEEPRNN = [sys.executable, "-m", "deeprnn_keras.cli"]
TINY = ["--units", "8", "--layers", "1", "--bptt", "8", "--batch-size", "4"]


def deeprnn(*arguments):
    """The result of a command in this process, on a wide terminal."""
    return CliRunner().invoke(main, [str(a) for a in arguments], env={"COLUMNS": "250"})


def error_of(*arguments, code=1):
    """The message of a command that must fail, without a traceback."""
    result = deeprnn(*arguments)
    assert result.exit_code == code and isinstance(result.exception, SystemExit), result.exception
    return result.stderr


# === What answers at once ===


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["--version"], ["list"], ["info", "zaremba_medium"]], ids=" ".join
)
def test_commands_that_do_not_compute_load_neither_keras_nor_tensorflow(arguments):
    code = (
        "import sys; from deeprnn_keras.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False); assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_help_names_every_command():
    output = deeprnn("--help").stdout
    assert all(f"\n  {command} " in output for command in ("list", "info", "train", "evaluate", "generate"))


def test_list_has_a_row_for_every_model():
    _, *lines, note = deeprnn("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == zoo.list_models() and note.startswith("* has trained weights")
    for name, line in zip(zoo.list_models(), lines, strict=True):
        assert line.split()[-1] == f"{zoo.count_params(name):,}" and (" * " in line) == bool(zoo.info(name).weights)


def test_list_by_pattern_and_task():
    assert [line.split()[0] for line in deeprnn("list", "zaremba_*").stdout.splitlines()[1:]] == zoo.list_models("z*")
    assert "no model matches 'xyz*'" in error_of("list", "xyz*")
    assert "did you mean 'language'" in error_of("list", "--task", "langage")


@pytest.mark.parametrize("name", zoo.list_models())
def test_info_shows_the_whole_card(name):
    output = deeprnn("info", name).stdout
    for what, value in zoo.info(name).card():
        assert what in output and value in re.sub(r"\s+", " ", output), what


# === Errors before anything slow ===


@pytest.fixture
def no_tensorflow(monkeypatch):
    def load(console):
        raise AssertionError("TensorFlow is loaded before the arguments are checked")

    monkeypatch.setattr("deeprnn_keras.cli.start_tensorflow.start_tensorflow", load)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["train", "kjv_lstm"], ["unknown model 'kjv_lstm'", "'kjv_lstm_2x256'"]),
        (["info", "zaremba"], ["unknown model 'zaremba'", "did you mean"]),
        (["train", "zaremba_small"], ["without its text", "--text FILE"]),
        (["train", "char_rnn_2x128"], ["without its text", "--text FILE"]),
        (["train", "kjv_lstm_2x256", "--text", "none.txt"], ["'none.txt' does not exist"]),
        (["evaluate", "none.keras", "--text", "words.txt"], ["'none.keras' does not exist"]),
        (["generate", "none.keras", "--prompt", "a"], ["'none.keras' does not exist"]),
        (["generate", ".", "--prompt", "a"], ["model.keras' does not exist"]),
        (["generate", "words.txt", "--prompt", "a"], ["'words.txt' is not a .keras file"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_errors_say_what_would_be_right(no_tensorflow, text, monkeypatch, arguments, parts):
    monkeypatch.chdir(text.parent)
    message = error_of(*arguments)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ("--quick --epochs 2", "leave out --epochs, or --quick"),
        ("--output .", "exists and is not empty"),
        ("--output words.txt", "is a file"),
        ("--layers 0", "num_layers must"),
        ("--units 0", "units must"),
        ("--units 8,0", "units must"),
        ("--units 8,8 --layers 3", "one entry per layer (3)"),
        ("--cell lstn", "did you mean 'lstm'"),
        ("--cell gru,lstm,rnn", "one entry per layer (2)"),
        ("--dropout 1", "dropout must"),
        ("--learning-rate 0", "learning_rate must"),
        ("--clipnorm -1", "global_clipnorm must"),
        ("--batch-size 0", "batch_size must"),
        ("--bptt 0", "bptt must"),
        ("--epochs 0", "epochs must"),
    ],
)
def test_bad_options_of_train_are_refused_by_name(no_tensorflow, text, monkeypatch, arguments, part):
    monkeypatch.chdir(text.parent)
    assert part in error_of("train", "kjv_lstm_2x256", "--text", text, *arguments.split())
    assert not (text.parent / "runs").exists()


@pytest.mark.parametrize("units", ["many", "8,x", "8,", ""])
def test_units_must_be_numbers(no_tensorflow, units):
    assert "--units" in error_of("train", "kjv_lstm_2x256", "--units", units, code=2)


def test_debug_shows_the_traceback(text):
    result = deeprnn("--debug", "train", "kjv_lstm_2x256", "--text", text, "--layers", "0")
    assert isinstance(result.exception, ValueError)


def test_a_text_too_short_for_a_published_recipe(text, tmp_path):
    message = error_of("train", "d2l_gru_2x32", "--text", text, "--output", tmp_path / "run")
    assert "words.txt is too short for the recipe: 10000 windows" in message
    assert not (tmp_path / "run").exists()


# === A tiny training, without --output beside an earlier run, and its model ===


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder, what the command wrote)"""
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
    folder, output = trained
    figures = json.loads((folder / "result.json").read_text())
    assert f"{figures['validation']['bits_per_character']:.4f}" in output
    for name, bits in figures["compressors_bits_per_character"].items():
        assert re.search(rf"{name}\W+{bits:.4f}", output), name
    for file in ("model.keras", "curve.png", "result.json"):
        assert f"runs/kjv_lstm_2x256-2/{file}" in output and (folder / file).is_file()
    assert "1/1" in output and "bits per character" in output


def test_training_follows_its_options(trained):
    folder, output = trained
    figures = json.loads((folder / "result.json").read_text())
    symbols = len(set(TEXT))
    assert figures["weights"] == 64 * symbols + 4 * 8 * (64 + 8 + 1) + 9 * symbols
    assert (figures["recipe"]["batch_size"], figures["recipe"]["bptt"], figures["recipe"]["epochs"]) == (4, 8, 1)
    assert f"{len(TEXT):,} characters of {symbols} kinds" in output


def test_the_name_of_the_text_is_shown_as_it_is(trained):
    assert "words [draft].txt" in trained[1]


def bits_of(trained, text):
    from deeprnn_keras.models import load_language_model

    return load_language_model(trained[0]).score(text).bits_per_character


@pytest.mark.parametrize("at", ["", "model.keras"], ids=["folder", "file"])
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


def test_a_training_that_diverges_is_a_failure_with_advice(text, tmp_path):
    options = [*TINY, "--epochs", "1", "--learning-rate", "1e38", "--output", tmp_path / "run"]
    result = deeprnn("train", "kjv_lstm_2x256", "--text", text, *options)
    assert result.exit_code == 1
    assert "Stopped" in result.stdout and "learning_rate" in result.stdout and "global_clipnorm" in result.stdout
    assert f"{tmp_path}/run/model.keras" in result.stdout and (tmp_path / "run" / "model.keras").is_file()


def test_a_hopeless_score_can_be_shown():
    console = Console(file=io.StringIO(), width=100)
    console.print(score_table(Score(nats=1e4, count=1), [("gzip -9", 2.0)], "model"))
    assert "inf" in console.file.getvalue() and "10000.0000" in console.file.getvalue()


# === In a process of its own ===


@pytest.mark.slow
def test_ctrl_c_keeps_what_has_been_learnt(text, tmp_path):
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
