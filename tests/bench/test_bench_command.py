"""Command `deeprnn bench kernels`, with fake worker processes."""

import json
import re

import pytest
from bench_fakes import ABOUT
from click.testing import CliRunner

from deeprnn_keras.bench import environment, implementations, run
from deeprnn_keras.bench.results import load_results
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


@pytest.fixture
def interrupted(workers, tmp_path, monkeypatch):
    """Directory of a measurement that was interrupted in its measurement of the memory."""
    monkeypatch.setattr(
        environment, "worker_environment", lambda: {k: ABOUT[k] for k in ("device", "versions", "python")}
    )
    monkeypatch.setattr(run.run, "__defaults__", (None, workers))
    workers.failures["DeepRNN", "memory"] = KeyboardInterrupt()
    options = ["--sizes", "1x4x2x3", "--cell", "gru", "--impl", "DeepRNN", "--rounds", "2", "--no-epoch"]
    result = bench_kernels(*options, "--output", tmp_path / "run")
    assert result.exit_code == 130 and "Resume with: deeprnn bench kernels --resume --output" in result.stdout
    workers.failures, workers.requests = {}, []
    return tmp_path / "run"


@pytest.mark.parametrize("repeated", [[], ["--rounds", "2", "--no-epoch", "--cell", "gru"]], ids=["none", "same"])
def test_resumed_measurement_has_the_options_of_the_interrupted_one(interrupted, workers, repeated):
    result = bench_kernels("--resume", "--output", interrupted, *repeated)
    assert result.exit_code == 0, result.output
    assert workers.requests == [("DeepRNN", "memory"), ("DeepRNN remat", "memory")]
    results = load_results(interrupted)
    assert list(results["cases"]) == ["gru 1x4x2x3 train", "gru 1x4x2x3 infer"] and results["epoch"] == {}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--cell", "lstm"], r"with cells = \['gru'\], got cells = \['lstm'\]"),
        (["--mode", "train"], r"without --mode, got modes = \['train'\]"),
        (["--sizes", "1x4x2x5"], r"with sizes = \['1x4x2x3'\], got sizes = \['1x4x2x5'\]"),
        (["--impl", "keras"], r"with implementations = \['DeepRNN'\], got implementations = \['keras'\]"),
        (["--rounds", "3"], "with rounds = 2, got rounds = 3"),
        (["--seconds", "0.5"], "without --seconds, got seconds = 0.5"),
        (["--seed", "0"], "without --seed, got seed = 0"),
        (["--epoch-updates", "7"], "without --epoch-updates, got epoch_updates = 7"),
        (["--quick"], "without --quick, got quick = True"),
        (["--no-memory"], "without --no-memory, got no_memory = True"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_resumed_measurement_refuses_other_options(interrupted, workers, option, message):
    result = bench_kernels("--resume", "--output", interrupted, *option)
    assert result.exit_code == 1 and workers.requests == []
    assert re.search(f"was started {message} with --resume; leave the option out", result.stderr), result.stderr


@pytest.mark.parametrize("options", [{"rounds": "2"}, {"sizes": ["1x2"]}, {"implementations": ["x"]}, []], ids=str)
def test_damaged_options_of_a_measurement_name_the_file(interrupted, options):
    path = interrupted / "results.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "options": options}))
    result = bench_kernels("--resume", "--output", interrupted)
    assert result.exit_code == 1 and "results.json: not the results of a measurement, or damaged:" in result.stderr


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
    assert {name for name, _ in workers.requests} == {"keras", "drop-ins", "DeepRNN XLA", "DeepRNN", "products"}
    result = bench_kernels("--impl", "torch", "--output", tmp_path / "other")
    assert result.exit_code == 1 and "no implementation remains to be measured: torch" in result.stderr
