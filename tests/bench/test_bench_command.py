"""Command `deeprnn bench kernels`, with fake worker processes."""

import pytest
from bench_fakes import ABOUT
from click.testing import CliRunner

from deeprnn_keras.bench import environment, implementations, run
from deeprnn_keras.cli import main


def bench_kernels(*arguments):
    return CliRunner().invoke(main, ["bench", "kernels", *map(str, arguments)], env={"COLUMNS": "250"})


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--sizes", "2x256x32"],
            "size must be LxhxnxT, four positive integers, for example 2x256x32x35, got '2x25",
        ),
        (["--sizes", "0x1x1x1"], "got '0x1x1x1'"),
        (["--cell", "lstn"], "unknown cell 'lstn'; did you mean 'lstm'?"),
        (["--mode", "trian"], "unknown mode 'trian'; did you mean 'train'?"),
        (["--impl", "DepRNN"], "unknown implementation 'DepRNN'; choose from 'DeepRNN'"),
        (["--impl", "products"], "unknown implementation 'products'"),
        (["--rounds", "0"], "rounds must be a positive integer, got 0"),
        (["--seconds", "0"], "seconds must be a positive number, got 0.0"),
        (["--epoch-updates", "0"], "epoch_updates must be a positive integer, got 0"),
        (["--resume"], "--resume requires an --output directory that holds results.json, got --output None"),
        (["--output", __file__], "is a file; pass a directory that does not exist yet"),
    ],
)
def test_invalid_input_is_rejected_before_the_run(arguments, message, monkeypatch):
    monkeypatch.setattr(environment, "worker_environment", None)  # calling it would be a TypeError
    result = bench_kernels(*arguments)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit) and message in result.stderr


def test_command_measures_and_saves_reports(workers, tmp_path, monkeypatch):
    monkeypatch.setattr(
        environment, "worker_environment", lambda: {k: ABOUT[k] for k in ("device", "versions", "python")}
    )
    monkeypatch.setattr(run.run, "__defaults__", (None, workers))
    workers.failures["DeepRNN", "measure"] = KeyboardInterrupt()
    options = ["--sizes", "1x4x2x3", "--cell", "lstm", "--output", tmp_path / "new", "--quick"]
    result = bench_kernels(*options, "--impl", "keras", "--impl", "DeepRNN")
    assert result.exit_code == 130 and "Interrupted before the first measurement was completed" in result.stdout
    workers.failures = {}
    result = bench_kernels(*options, "--impl", "keras,DeepRNN", "--mode", "train")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "results.csv",
        "results.json",
        "results.md",
        "steps.png",
    ]
    assert "lstm 1x4x2x3 train" in result.stdout and "steps.png" in result.stdout
    result = bench_kernels(*options)
    assert result.exit_code == 1 and "exists and is not empty" in result.stderr


def test_load_of_other_programs_is_noted(monkeypatch):
    monkeypatch.setattr(environment.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(environment.os, "getloadavg", lambda: (1.3, 0, 0))
    assert "load average 1.3 on 4 cores" in environment.load_notes()[0]
    monkeypatch.setattr(environment.os, "getloadavg", lambda: (1.1, 9, 9))
    assert environment.load_notes() == []


def test_missing_implementation_is_skipped(workers, tmp_path, monkeypatch):
    monkeypatch.setattr(
        environment, "worker_environment", lambda: {k: ABOUT[k] for k in ("device", "versions", "python")}
    )
    monkeypatch.setattr(run.run, "__defaults__", (None, workers))
    monkeypatch.setattr(implementations.importlib.util, "find_spec", lambda name: None if name == "torch" else name)
    result = bench_kernels("--sizes", "1x4x2x3", "--output", tmp_path / "new", "--quick")
    assert result.exit_code == 0 and "torch is skipped: torch is not installed: pip install" in result.stdout
    assert "torch is skipped" in (tmp_path / "new" / "results.md").read_text()
    assert {name for name, _ in workers.requests} == {"keras", "drop-ins", "DeepRNN", "products"}
    result = bench_kernels("--impl", "torch", "--output", tmp_path / "other")
    assert result.exit_code == 1 and "no implementation remains to be measured: torch" in result.stderr
