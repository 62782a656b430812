"""The command `deeprnn`: listing, cards, and errors that are reported before TensorFlow is imported."""

import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from deeprnn_keras import zoo
from deeprnn_keras.cli import main
from deeprnn_keras.cli.zoo import _fold

WORDS = "in the beginning was a word and then there were many words of all sorts"
TEXT = " ".join(np.random.default_rng(5).choice(WORDS.split(), size=900))
DEEPRNN = [sys.executable, "-m", "deeprnn_keras.cli"]
TINY = ["--units", "8", "--layers", "1", "--bptt", "8", "--batch-size", "4"]


def deeprnn(*arguments):
    """Run a command in this process, on a wide terminal."""
    return CliRunner().invoke(main, [str(a) for a in arguments], env={"COLUMNS": "250"})


def error_of(*arguments, code=1):
    """Return the message of a command that must fail without a traceback."""
    result = deeprnn(*arguments)
    assert result.exit_code == code and isinstance(result.exception, SystemExit), result.exception
    return result.stderr


# === Commands without TensorFlow ===


WITHOUT_COMPUTATION = ["--help", "train --help", "--version", "list", "info zaremba_medium"]


def test_commands_without_computation_import_neither_keras_nor_tensorflow():
    code = (
        "import sys; from deeprnn_keras.cli import main\n"
        "for line in sys.argv[1:]:\n"
        "    main(line.split(), standalone_mode=False); print(chr(0))\n"
        "    assert not {'keras', 'tensorflow'} & set(sys.modules), line"
    )
    process = subprocess.run([sys.executable, "-c", code, *WITHOUT_COMPUTATION], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    outputs = process.stdout.split("\0")
    assert len(outputs) == len(WITHOUT_COMPUTATION) + 1 and all(output.strip() for output in outputs[:-1])


@pytest.mark.parametrize(("group", "path"), [(main, []), (main.commands["bench"], ["bench"])])
def test_help_lists_every_command_with_a_whole_sentence(group, path):
    output = CliRunner().invoke(main, [*path, "--help"], env={"COLUMNS": "80"}).stdout
    assert all(f"\n  {command} " in output for command in group.commands)
    assert "...\n" not in output.partition("Commands:")[2]  # at the end of a sentence that click has cut


def test_list_has_a_row_for_every_model():
    _, *lines, note = deeprnn("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == zoo.list_models() and note.startswith("* has trained weights")
    for name, line in zip(zoo.list_models(), lines, strict=True):
        assert line.split()[-1] == f"{zoo.count_params(name):,}" and (" * " in line) == bool(zoo.info(name).weights)


def test_list_fits_80_columns():
    output = CliRunner().invoke(main, ["list"], env={"COLUMNS": "80"}).stdout
    assert max(map(len, output.splitlines())) <= 80
    for name in zoo.list_models():
        assert f" {zoo.count_params(name):,}\n" in output, name
        units = zoo.info(name).units
        assert all(re.search(rf"\b{width}\b", output) for width in (units if isinstance(units, tuple) else [units]))


@pytest.mark.parametrize(
    "text", ["lstm", "deep_transition_rnn", "1840-1840-400", "1024-2048-1024-512", "12345678901234"]
)
def test_list_breaks_cells_and_units_only_between_parts(text):
    lines = _fold(text, 11).split("\n")
    assert "".join(lines) == text and all(line.endswith(("_", "-")) for line in lines[:-1])
    assert all(len(line) <= 11 or re.fullmatch(r"\w+", line) for line in lines)


def test_list_filters_by_pattern_and_task():
    assert [line.split()[0] for line in deeprnn("list", "zaremba_*").stdout.splitlines()[1:]] == zoo.list_models("z*")
    assert "no model matches 'xyz*'" in error_of("list", "xyz*")
    assert "did you mean 'language'" in error_of("list", "--task", "langage")


@pytest.mark.parametrize("name", zoo.list_models())
def test_info_shows_every_row_of_the_card(name):
    output = deeprnn("info", name).stdout
    for label, value in zoo.info(name).card():
        assert label in output and value in re.sub(r"\s+", " ", output), label


# === Errors before TensorFlow is imported ===


@pytest.fixture
def no_tensorflow(monkeypatch):
    def load(console):
        raise AssertionError("TensorFlow is imported before the arguments are checked")

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
        (["train", "zaremba_small"], ["is not included", "--text FILE"]),
        (["train", "char_rnn_2x128"], ["is not included", "--text FILE"]),
        (["train", "kjv_lstm_2x256", "--text", "none.txt"], ["'none.txt' does not exist"]),
        (["evaluate", "none.keras", "--text", "words.txt"], ["'none.keras' does not exist"]),
        (["generate", "none.keras", "--prompt", "a"], ["'none.keras' does not exist"]),
        (["generate", ".", "--prompt", "a"], ["model.keras' does not exist"]),
        (["generate", "words.txt", "--prompt", "a"], ["words.txt: not a .keras file, or damaged"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_error_messages_state_the_remedy(no_tensorflow, text, monkeypatch, arguments, parts):
    monkeypatch.chdir(text.parent)
    message = error_of(*arguments)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ("--quick --epochs 2", "does not support --epochs; leave out one of them"),
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
def test_invalid_train_option_is_named(no_tensorflow, text, monkeypatch, arguments, part):
    monkeypatch.chdir(text.parent)
    assert part in error_of("train", "kjv_lstm_2x256", "--text", text, *arguments.split())
    assert not (text.parent / "runs").exists()


@pytest.mark.parametrize("units", ["many", "8,x", "8,", ""])
def test_units_must_be_integers(no_tensorflow, units):
    assert "--units" in error_of("train", "kjv_lstm_2x256", "--units", units, code=2)


def test_debug_shows_the_traceback(text):
    result = deeprnn("--debug", "train", "kjv_lstm_2x256", "--text", text, "--layers", "0")
    assert isinstance(result.exception, ValueError)


def test_text_too_short_for_the_recipe_is_an_error(text, tmp_path):
    message = error_of("train", "d2l_gru_2x32", "--text", text, "--output", tmp_path / "run")
    assert "words.txt is too short for the recipe: 10000 training windows" in message
    assert not (tmp_path / "run").exists()
