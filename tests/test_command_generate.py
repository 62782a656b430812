"""`deeprnn generate`: programs instead of Keras files, printing piece by piece, options, and Ctrl-C."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from deeprnn_keras import LanguageModel, SequenceModel, generate, generate_stream, lower, zoo
from deeprnn_keras.cli import exit_codes, main, model_argument
from deeprnn_keras.generation import loop
from deeprnn_keras.program import Program

OPTIONS = {"temperature": 0.9, "top_k": 4, "top_p": 0.95, "min_p": 0.01, "repetition_penalty": 1.1, "seed": 3}
FLAGS = [part for name, value in OPTIONS.items() for part in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the directory of a run with a model and its program."""
    directory = tmp_path_factory.mktemp("run")
    model = LanguageModel("abcde ", units=4)
    model.save(directory / "model.keras")
    lower(model).save(directory / "model.program.safetensors")
    lower(model).save(directory / "other_name.safetensors")
    return directory


def deeprnn(*arguments):
    return CliRunner().invoke(main, [str(part) for part in arguments])


@pytest.fixture
def without_keras(monkeypatch):
    """Let the test fail if a Keras file is loaded."""
    monkeypatch.setattr(model_argument, "load_file", lambda *_: pytest.fail("the Keras file was loaded"))


@pytest.mark.usefixtures("without_keras")
@pytest.mark.parametrize("file", ["", "model.keras", "model.program.safetensors", "other_name.safetensors"])
def test_text_of_the_program(run, file):
    program = Program.load(run / "model.program.safetensors")
    expected = generate(program, "a bad", 90, stop=["dead", "bee"], **OPTIONS)
    result = deeprnn(
        "generate", run / file, "--prompt", "a bad", "--length", 90, "--stop", "dead", "--stop", "bee", *FLAGS
    )
    assert result.exit_code == 0, result.output
    assert result.stdout == expected + "\n"


@pytest.mark.usefixtures("without_keras")
def test_several_samples(run):
    program = Program.load(run / "model.program.safetensors")
    expected = generate(program, "ab", 9, num_samples=3, **OPTIONS)
    result = deeprnn("generate", run, "--prompt", "ab", "--length", 9, "--num-samples", 3, *FLAGS)
    assert result.stdout == "\n---\n".join(expected) + "\n"


def test_keras_file_is_used_without_a_current_program(tmp_path):
    model = LanguageModel("abc", units=2)
    model.save(tmp_path / "model.keras")
    expected = generate(model, "ab", 9, **OPTIONS) + "\n"
    arguments = ["generate", tmp_path, "--prompt", "ab", "--length", 9, *FLAGS]
    assert deeprnn(*arguments).stdout == expected
    lower(LanguageModel("xyz", units=2)).save(tmp_path / "model.program.safetensors")
    os.utime(tmp_path / "model.program.safetensors", (1, 1))  # older than the model
    assert deeprnn(*arguments).stdout == expected


@pytest.mark.usefixtures("without_keras")
def test_model_of_the_zoo():
    result = deeprnn("generate", "kjv_gru_2x256", "--prompt", "And he", "--length", 20, "--seed", 1)
    expected = generate(zoo.load_program("kjv_gru_2x256"), "And he", 20, temperature=0.7, seed=1)
    assert result.stdout == expected + "\n"


@pytest.mark.slow
@pytest.mark.usefixtures("without_keras")
def test_music_of_a_program(tmp_path, monkeypatch):
    model = SequenceModel(88, 88, units=2, kind="notes", name="bach_lstm_2x256")
    lower(model).save(tmp_path / "model.program.safetensors")
    result = deeprnn("generate", tmp_path, "--output", tmp_path / "a.mid", "--length", 4, "--notes", 3, "--seed", 0)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "a.mid").read_bytes().startswith(b"MThd")


@pytest.mark.usefixtures("without_keras")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt", "abxax"], "'x' (2 times), the first at position 2;"),
        (["--prompt", "a", "--top-p", "0"], "top_p must be a number in (0, 1] or None, got 0.0"),
        (["--prompt", "a", "--num-samples", "0"], "num_samples must be a positive integer, got 0"),
        (["--prompt", "a", "--stop", ""], "stop must be a non-empty string"),
        (["--prompt", "a", "--notes", "3"], "language models do not support --notes"),
        ([], "language models require --prompt"),
    ],
    ids=str,
)
def test_errors_print_nothing(run, options, message):
    result = deeprnn("generate", run, *options)
    assert (result.exit_code, result.stdout) == (1, "") and message in result.stderr


@pytest.mark.parametrize("content", [b"no program", b""])
@pytest.mark.parametrize(
    ("name", "argument"), [("model.program.safetensors", ""), ("any.safetensors", "any.safetensors")]
)
def test_damaged_program_is_an_error(tmp_path, name, argument, content):
    (tmp_path / name).write_bytes(content)
    result = deeprnn("generate", tmp_path / argument, "--prompt", "a")
    assert result.exit_code == 1 and f"{name}: not the file of a program" in result.stderr


def test_interrupted_text_ends_with_a_line(run, monkeypatch):
    advance = loop.Loop.advance
    counts = iter([1, 2])

    def interrupted(self, count):
        if next(counts, None) is None:
            raise KeyboardInterrupt
        return advance(self, count)

    monkeypatch.setattr(loop.Loop, "advance", interrupted)
    result = deeprnn("generate", run, "--prompt", "ab")
    assert result.exit_code == exit_codes.INTERRUPTED
    assert len(result.stdout) == 2 + 3 + 1 and result.stdout.endswith("\n") and "Traceback" not in result.output


PROCESS = """
import sys
from deeprnn_keras.cli import main
try:
    main()
finally:
    print([name for name in ("tensorflow", "keras", "torch", "jax") if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("interrupted", [False, True])
def test_process_prints_at_once_without_tensorflow(run, interrupted):
    length = 10**9 if interrupted else 60
    arguments = ["generate", str(run), "--prompt", "ab", "--length", str(length), "--seed", "1"]
    command = [sys.executable, "-c", PROCESS, *arguments]
    # without a buffer, in which `communicate` would leave what was read ahead
    with subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        begin = process.stdout.read(3)
        if interrupted:
            process.send_signal(signal.SIGINT)
        rest, errors = (part.decode() for part in process.communicate(timeout=60))
        begin = begin.decode()
    assert process.returncode == (exit_codes.INTERRUPTED if interrupted else 0)
    assert begin.startswith("ab") and rest.endswith("\n") and errors.strip() == "[]"
    assert interrupted or len(begin + rest) == 2 + 60 + 1


def test_generation_imports_neither_keras_nor_tensorflow(run):
    code = (
        "import sys\n"
        "for name in ('keras', 'tensorflow', 'torch', 'jax'): sys.modules[name] = None\n"
        "from deeprnn_keras import Program, Stream, generate, generate_stream\n"
        "from deeprnn_keras.generation import generate_notes, score\n"
        f"program = Program.load({str(run / 'model.program.safetensors')!r})\n"
        "print(generate(program, 'ab', 20, seed=0), *generate_stream(program, 'ab', 5, seed=0), sep='|')"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    program = Program.load(run / "model.program.safetensors")
    expected = [generate(program, "ab", 20, seed=0), *generate_stream(program, "ab", 5, seed=0)]
    assert process.stdout == "|".join(expected) + "\n"


def test_pieces_are_flushed(run, monkeypatch):
    calls = []
    monkeypatch.setattr("builtins.print", lambda *parts, **options: calls.append((parts, options)))
    deeprnn("generate", run, "--prompt", "ab", "--length", 20)
    pieces = [options for parts, options in calls if parts]
    assert len(pieces) > 4 and all(options == {"end": "", "flush": True} for options in pieces)
    assert np.all([len(parts[0]) > 0 for parts, _ in calls if parts])
