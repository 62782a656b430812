"""`export`: report, refusals, and files after a failure."""

import dataclasses
import errno
import os
import re
from pathlib import Path

import exported_programs as programs
import keras
import numpy as np
import pytest
from click.testing import CliRunner

from deeprnn_keras import LanguageModel, SequenceModel, export
from deeprnn_keras.cli import main
from deeprnn_keras.exporters import targets, verification
from deeprnn_keras.exporters.numpy_source.target import NumPyRunner, NumPyTarget
from deeprnn_keras.exporters.verification import VerificationError

# === Report ===


def test_report_of_a_keras_model(tmp_path):
    report = export(programs.MODELS["lstm"](), tmp_path / "small.py")
    assert (report.path, report.target, report.operators) == (tmp_path / "small.py", "numpy", {"LSTM": 3, "Dense": 1})
    assert (
        [file.name for file in report.files]
        == ["small.py", "small.npz"]
        == sorted(programs.content(tmp_path), reverse=True)
    )
    assert report.size == sum(map(len, programs.content(tmp_path).values()))
    assert 0 < report.max_abs_error < 1e-5
    assert report.latency.call == "100 steps" and report.latency.reference_name == "Keras"
    assert report.latency.file > 0 and report.latency.reference > 0 and report.loss is None
    for part in ("small.py (with small.npz)", "3 LSTM, 1 Dense", "kB", "Latency of 100 steps:", "Note:"):
        assert part in str(report)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.size = 0


def test_streamed_keras_models_with_outputs_of_each_step_and_of_the_last(tmp_path):
    x = keras.Input((None, 2))
    h = keras.layers.LSTM(3, return_sequences=True)(x)
    model = keras.Model(x, [h, keras.layers.GRU(2)(h)])
    report = export(model, tmp_path / "small.py", streaming=True)
    assert report.latency.call == "a step" and report.latency.reference_name == "Keras"


def test_report_of_a_streamed_program_without_verification_of_whole_sequences(tmp_path):
    report = export(programs.hand_made("gru"), tmp_path / "small.py", streaming=True, batch_size=3)
    assert report.latency.call == "a step" and report.latency.reference_name == "NumPy interpreter"
    unverified = export(programs.hand_made("gru"), tmp_path / "other.py", verify=False)
    assert unverified.max_abs_error is None and unverified.latency is None and "not verified" in str(unverified)


def test_equal_models_give_equal_files(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        export(programs.hand_made("rhn"), tmp_path / name / "small.py", verify=False)
        export(programs.hand_made("rhn"), tmp_path / name / "small.c", verify=False)
    assert programs.content(tmp_path / "a") == programs.content(tmp_path / "b")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: SequenceModel(2, 3, units=4, num_layers=2, masks=True), "inputs that the file does not have"),
        (lambda: keras.Sequential([keras.Input((5, 2), 1), keras.layers.LSTM(3, stateful=True)]), "is stateful"),
        (lambda: keras.Sequential([keras.Input((5, 2), 4), keras.layers.LSTM(3)]), "another batch size"),
    ],
)
def test_models_that_keras_cannot_compare_are_noted(model, reason, tmp_path):
    model = model()
    states = [np.array(one) for one in model.non_trainable_variables]
    report = export(model, tmp_path / "small.py", batch_size=1 if reason == "another batch size" else None)
    assert any(reason in note for note in report.notes)
    np.testing.assert_equal([np.array(one) for one in model.non_trainable_variables], states)


def test_several_inputs_in_a_dictionary_and_a_fixed_length(tmp_path):
    a, b = keras.Input((4, 2), name="b"), keras.Input((4,), name="a", dtype="int32")
    joined = keras.layers.Concatenate()([a, keras.layers.Embedding(5, 3)(b)])
    model = keras.Model({"b": a, "a": b}, [keras.layers.GRU(3)(joined), keras.layers.LSTM(2)(joined)])
    report = export(model, tmp_path / "small.py")
    assert report.latency.call == "4 steps" and not any("Keras" in note for note in report.notes)


# === Loss ===


def test_loss_of_a_language_model(tmp_path):
    ids = np.random.default_rng(0).integers(0, 4, (40, 9))
    model = LanguageModel("abcd", units=4, num_layers=2)
    report = export(model, tmp_path / "small.c", quantize="int8", evaluate=(ids[:, :-1], ids[:, 1:]))
    model.compile("adam", LanguageModel.loss_function())
    expected = model.evaluate(ids[:, :-1], ids[:, 1:], verbose=0, return_dict=True)["loss"] / np.log(2)
    assert report.loss.name == "Bits per symbol" and report.loss.model == pytest.approx(expected, abs=1e-5)
    assert 0 < abs(report.loss.file - report.loss.model) < 0.02
    assert "Bits per symbol:" in str(report)


@pytest.mark.parametrize("streaming", [False, True])
def test_loss_of_a_compiled_model(streaming, tmp_path):
    model = keras.Sequential([keras.Input((None, 2)), keras.layers.GRU(3), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(37, 5, 2)), rng.normal(size=(37, 1))
    report = export(model, tmp_path / "small.py", evaluate=(x, y), streaming=streaming, batch_size=4)
    expected = model.evaluate(x, y, verbose=0)
    assert report.loss.model == pytest.approx(expected, abs=1e-5) == report.loss.file


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        (3, r"must be a pair \(x, y\), got int"),
        ((np.zeros((2, 3)), np.zeros(2)), r"must contain sequences \(n, T, d\), .* got \(2, 3\), \(2,\)"),
        ((np.zeros((2, 3, 3)), np.zeros(4)), "must contain sequences"),
        (
            (np.zeros((2, 3, 3)), np.zeros(2)),
            "requires a loss, which 'deep' does not have: pass a compiled Keras model",
        ),
    ],
)
def test_evaluate_is_checked_before_anything_is_written(evaluate, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export(programs.hand_made("lstm"), tmp_path / "a.py", evaluate=evaluate)
    assert not programs.content(tmp_path)


# === Refusals ===


@pytest.mark.parametrize(
    ("path", "options", "error", "message"),
    [
        (
            "a.xyz",
            {},
            ValueError,
            r"suffix '.xyz', which is not that of a format; supported are .c \(c\), .py \(numpy\)",
        ),
        ("a.b", {}, ValueError, r"no suffix \(savedmodel\); rename the file or pass format="),
        ("a.py", {"format": "sea"}, ValueError, "unknown format 'sea'; choose from 'c', "),
        ("no/a.py", {}, FileNotFoundError, "the directory .*no' does not exist"),
        ("a-b.py", {}, ValueError, "'a-b' is not a name that Python can import"),
        ("numpy.py", {}, ValueError, "hides the module 'numpy'"),
        ("模型.c", {}, ValueError, "'模型', which has letters outside ASCII; rename the file"),
        ("a.py", {"quantize": "int8"}, ValueError, "'int8' is not supported by NumPy; supported are None"),
        ("a.c", {"quantize": "int4"}, ValueError, "quantize must be 'int8', or None, got 'int4'"),
        ("a.c", {"batch_size": 2}, ValueError, "batch_size=2 is not supported; leave it out"),
        ("a.c", {"batch_size": 0}, ValueError, "batch_size must be a positive integer, got 0"),
        ("a.c", {"streaming": "yes"}, ValueError, "streaming must be"),
        ("a.c", {"verify": None}, ValueError, "verify must be"),
    ],
)
def test_invalid_arguments(path, options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        export(programs.hand_made("lstm"), tmp_path / path, **options)
    assert not programs.content(tmp_path)


@pytest.mark.parametrize("overwritten", ["a.py", "a.npz"])
def test_existing_files_are_kept_without_overwrite(overwritten, tmp_path):
    (tmp_path / overwritten).write_text("mine")
    with pytest.raises(FileExistsError, match=f"{overwritten}' exists; pass another path or overwrite=True"):
        export(programs.hand_made("lstm"), tmp_path / "a.py")
    assert programs.content(tmp_path) == {overwritten: b"mine"}
    export(programs.hand_made("lstm"), tmp_path / "a.py", overwrite=True)
    assert len(programs.content(tmp_path)) == 2 and programs.content(tmp_path)[overwritten] != b"mine"


def test_directory_is_not_overwritten(tmp_path):
    (tmp_path / "a.py").mkdir()
    with pytest.raises(IsADirectoryError, match=r"a.py' is a directory"):
        export(programs.hand_made("lstm"), tmp_path / "a.py", overwrite=True)


def test_bidirectional_program_in_c_and_streamed(tmp_path):
    with pytest.raises(
        ValueError, match=r"supported by C: 'deep_rnn\w*/backward_1' needs the whole sequence, .*another format"
    ):
        export(programs.hand_made("bidirectional"), tmp_path / "a.c")
    with pytest.raises(
        ValueError, match=r"has no single step: 'deep_rnn\w*/backward_1' needs the whole .*streaming=False"
    ):
        export(programs.hand_made("bidirectional"), tmp_path / "a.py", streaming=True)
    assert not programs.content(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(value, tmp_path):
    program = programs.hand_made("lstm")
    name, array = next(iter(program.weights.items()))
    damaged = dataclasses.replace(program, weights={**program.weights, name: np.full_like(array, value)})
    with pytest.raises(ValueError, match=f"weight '{name}' must be finite, got NaN or infinity; load weights"):
        export(damaged, tmp_path / "a.py")
    assert not programs.content(tmp_path)


def test_batch_size_of_a_program(tmp_path):
    program = dataclasses.replace(programs.hand_made("lstm"), batch_size=3)
    with pytest.raises(ValueError, match="batch_size must be 3, for which program 'deep' was lowered, got 2"):
        export(program, tmp_path / "a.py", batch_size=2)
    export(program, tmp_path / "a.py", batch_size=3)


def test_missing_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImportError, match=r"requires a C compiler: none of cc, gcc, clang is in PATH; .*verify=False"):
        export(programs.hand_made("lstm"), tmp_path / "a.c")
    assert not programs.content(tmp_path)
    assert len(export(programs.hand_made("lstm"), tmp_path / "a.c", verify=False).files) == 3


def test_missing_packages_name_the_extra(monkeypatch):
    monkeypatch.setattr(NumPyTarget, "packages", ("no_such_package",))
    monkeypatch.setattr(NumPyTarget, "runtime_packages", ("no.runtime",))
    monkeypatch.setattr(NumPyTarget, "extra", "export")
    with pytest.raises(
        ImportError, match=re.escape("no_such_package, no; install it with: pip install 'deeprnn-keras[exp")
    ):
        export(programs.hand_made("lstm"), "a.py")
    monkeypatch.setattr(NumPyTarget, "packages", ())
    with pytest.raises(ImportError, match="or pass verify=False"):
        export(programs.hand_made("lstm"), "a.py")


# === Failures: all files or none ===


@pytest.fixture
def earlier_files(tmp_path):
    export(programs.hand_made("rnn"), tmp_path / "a.py", verify=False)
    return programs.content(tmp_path)


def export_again(directory):
    export(programs.hand_made("lstm"), directory / "a.py", overwrite=True)


def test_wrong_outputs(monkeypatch, tmp_path, earlier_files):
    run = NumPyRunner.run
    monkeypatch.setattr(NumPyRunner, "run", lambda *arguments: [one + 1e-3 for one in run(*arguments)])
    with pytest.raises(VerificationError, match=r"file of 'deep' differ by 0.001 for 1 steps, more than .*nothing was"):
        export_again(tmp_path)
    assert programs.content(tmp_path) == earlier_files


@pytest.mark.parametrize("result", [np.nan, np.zeros((2, 1, 9))])
def test_outputs_that_are_not_finite_or_of_another_shape(result, monkeypatch, tmp_path, earlier_files):
    run = NumPyRunner.run
    broken = (lambda *a: [one * result for one in run(*a)]) if np.ndim(result) == 0 else (lambda *a: [result])
    monkeypatch.setattr(NumPyRunner, "run", broken)
    with pytest.raises(VerificationError, match=r"differ by nan|have shapes"):
        export_again(tmp_path)
    assert programs.content(tmp_path) == earlier_files


def test_file_that_the_runtime_refuses(monkeypatch, tmp_path, earlier_files):
    monkeypatch.setattr(NumPyTarget, "runner", lambda *_: 1 / 0)
    with pytest.raises(VerificationError, match="'deep' fails to run in NumPy: ZeroDivisionError"):
        export_again(tmp_path)
    assert programs.content(tmp_path) == earlier_files


def test_full_disk_while_writing(monkeypatch, tmp_path, earlier_files):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(OSError, match="No space left"):
        export_again(tmp_path)
    assert programs.content(tmp_path) == earlier_files


@pytest.mark.parametrize("failing", range(4))
def test_failure_while_files_are_renamed(failing, monkeypatch, tmp_path, earlier_files):
    programs.fail_rename(monkeypatch, failing, OSError(errno.EIO, "input/output error"))
    with pytest.raises(OSError, match="input/output error"):
        export_again(tmp_path)
    assert programs.content(tmp_path) == earlier_files


# === Targets and command ===


def test_targets_are_found_without_import_of_their_packages():
    for name in targets.FORMATS:
        target = targets.find_target(Path("model"), name)
        assert target.name == name == targets.find_target(Path(f"a{target.suffix}"), None).name
        assert targets.find_target(Path(f"A{target.suffix.upper()}"), None).name == name


@pytest.mark.slow
def test_command(tmp_path):
    keras.Sequential([keras.Input((None, 2)), keras.layers.GRU(3)]).save(tmp_path / "model.keras")  # of no task family
    arguments = ["export", str(tmp_path / "model.keras"), str(tmp_path / "small.c"), "--streaming", "--no-verify"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "small.c (with small.h, small_test.c)" in result.stdout and "not verified" in result.stdout
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and "exists; pass another path or overwrite=True" in result.stderr
    programs.hand_made("gru").save(tmp_path / "p.safetensors")
    result = CliRunner().invoke(main, ["export", str(tmp_path / "p.safetensors"), str(tmp_path / "p.py")])
    assert result.exit_code == 0 and "2 GRU" in result.stdout


def test_large_programs_have_a_larger_tolerance(monkeypatch, tmp_path):
    run = NumPyRunner.run
    monkeypatch.setattr(NumPyRunner, "run", lambda *arguments: [one + 5e-5 for one in run(*arguments)])
    with pytest.raises(VerificationError):
        export(programs.hand_made("lstm"), tmp_path / "a.py")
    monkeypatch.setattr(verification, "LARGE", 10)
    assert export(programs.hand_made("lstm"), tmp_path / "a.py").max_abs_error > 4e-5
