"""Benchmark of streams: steps of each implementation, the report, and the command with fake workers."""

import json

import numpy as np
import pytest
from bench_fakes import FakeWorker
from click.testing import CliRunner

from deeprnn_keras.bench import serving, serving_report, serving_steps
from deeprnn_keras.bench.process import WorkerError
from deeprnn_keras.bench.serving_case import IMPLEMENTATIONS, SIZES, ServingCase, ServingSettings, measured_name
from deeprnn_keras.cli import main

ABOUT = {"device": "a device", "versions": {"numpy": "2"}, "python": "3.12", "seed": 0, "rounds": 2, "seconds": 0.1}
ABOUT |= {"threads": [1, 2], "date": "2026-01-01"}


class FakeServingWorker(FakeWorker):
    """Worker whose medians are 10 microseconds, and 40 for PyTorch."""

    def request(self, operation, function, arguments):
        super().request(operation)
        time = 40.0 if self.name.startswith("torch") else 10.0
        return {
            "prepare": {"difference": 1e-7},
            "measure": {"median_us": time, "p99_us": 2 * time, "steps": 100},
            "read_bandwidth": {"gb_per_s": 30.0},
        }[function.partition(":")[2]]


def measured(*sizes, **failures):
    settings = ServingSettings(tuple(map(ServingCase.from_size, sizes)), rounds=2, seconds=0.1)
    results = {"about": ABOUT, "cases": {}, "bandwidth": {}, "notes": []}
    return settings, results


@pytest.mark.slow
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_steps_agree_with_the_reference(implementation):
    for package in {"torch": ["torch"], "onnxruntime": ["onnx", "onnxruntime"]}.get(implementation, []):
        pytest.importorskip(package)
    case = vars(ServingCase.from_size("2x5x3"))
    assert serving_steps.prepare(implementation, 1, case, seed=0)["difference"] < 1e-5
    figures = serving_steps.measure(0.001)
    assert 0 < figures["median_us"] <= figures["p99_us"] and figures["steps"] >= serving_steps.MIN_STEPS


def test_wrong_outputs_are_an_error(monkeypatch):
    monkeypatch.setitem(serving_steps._STEPS, "stream", lambda *_: lambda x: np.zeros((len(x), 1)))
    with pytest.raises(RuntimeError, match="the outputs differ from the reference by"):
        serving_steps.prepare("stream", 1, vars(ServingCase.from_size("1x2x1")), 0)


def test_read_bandwidth_of_several_threads():
    for threads in (1, 2):
        assert serving_steps.read_bandwidth(1 << 20, threads, 0.01)["gb_per_s"] > 0.1


def test_size_of_weights_is_that_of_the_program():
    for size in ("1x64x1", "3x10x7"):
        case = ServingCase.from_size(size)
        weights = serving_steps.build_program(case, 0).weights
        assert case.weight_bytes == sum(array.nbytes for name, array in weights.items() if not name.endswith("bias"))
    assert len(set(SIZES)) == len(SIZES)


def test_report(workers, tmp_path):
    settings, results = measured("1x64x1", "2x256x1", "2x256x64")
    workers.failures["onnxruntime, 2 threads", "call"] = WorkerError("no memory\ndetails", alive=True)
    serving.run_serving(settings, results, tmp_path, start=FakeServingWorker)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert list(results["cases"]["2x256x1"]) == settings.names
    assert results["bandwidth"] == {size: {"1": 30.0, "2": 30.0} for size in ("2x256x1", "2x256x64")}
    paths = serving_report.write_report(results, tmp_path)
    assert [path.name for path in paths] == ["results.md", "results.csv", "serving.png"]
    text = paths[0].read_text()
    assert "| 2 x 256 | 10.0 / 20.0 | 40.0 / 80.0 | 10.0 / 20.0 | 10.0 / 20.0 | 40.0 / 80.0 | failed |" in text
    assert "| 100,000 | 0.25 | 1.00 | 0.25 | - |" in text and "| 6,400,000 |" in text
    assert "| 2 x 256 | 4.0 | 420 | 30 | 420 | 30 |" in text
    assert "| 2x256x1 | onnxruntime, 2 threads | no memory |" in text
    assert "1x64x1" not in results["bandwidth"] and len(paths[1].read_text().splitlines()) == 1 + 3 * 6


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--sizes", "2x256"], "size must be Lxhxn, three positive integers, for example 2x256x1, got '2x256'"),
        (["--impl", "tourch"], "unknown implementation 'tourch'; did you mean 'torch'?"),
        (["--threads", "0"], "threads must be a positive integer, got 0"),
        (["--threads", "two"], "threads must be positive integers, got 'two'"),
        (["--seconds", "0"], "seconds must be a positive number, got 0.0"),
        (["--output", __file__], "is a file; pass a directory that does not exist yet"),
    ],
)
def test_invalid_input(arguments, message):
    result = CliRunner().invoke(main, ["bench", "serving", *arguments])
    assert result.exit_code == 1 and message in result.stderr


def test_command(workers, tmp_path, monkeypatch):
    monkeypatch.setattr(serving.run_serving, "__defaults__", (*serving.run_serving.__defaults__[:1], FakeServingWorker))
    arguments = ["bench", "serving", "--sizes", "1x4x1,1x4x2", "--impl", "stream", "--output", str(tmp_path / "new")]
    result = CliRunner().invoke(main, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "Batch 2: microseconds per step" in result.stdout and "results.md" in result.stdout
    workers.failures[measured_name("stream", 1), "call"] = KeyboardInterrupt()
    result = CliRunner().invoke(main, [*arguments[:-1], str(tmp_path / "other")])
    assert result.exit_code == 130 and "Interrupted" in result.stdout


def test_implementations_that_are_not_installed_are_skipped(monkeypatch):
    monkeypatch.setattr(serving.importlib.util, "find_spec", lambda name: None if name == "torch" else name)
    settings, _ = measured("1x4x1")
    assert serving.missing_packages(settings) == {
        "torch": "torch is not installed: pip install 'deeprnn-keras[serving]'"
    }
