"""Driver of the GPU script with fake workers, and one run on the CPU with real workers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench_fakes import FakeGpuWorker
from click.testing import CliRunner

from benchmarks import gpu, gpu_run
from deeprnn_keras.bench import implementations
from deeprnn_keras.bench.process import WorkerError
from deeprnn_keras.kernels.native import library

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = ("d2l_gru_2x32", "d2l_lstm_2x256", "d2l_rnn_2x32")


@pytest.fixture
def gpu_workers(workers, monkeypatch):
    monkeypatch.setattr(gpu, "WorkerProcess", lambda name, device: FakeGpuWorker(name))
    monkeypatch.setattr(implementations.importlib.util, "find_spec", lambda name: name)
    return FakeGpuWorker


def run_script(*arguments):
    return CliRunner().invoke(gpu.main, ["--entries", "d2l_*", *map(str, arguments)])


def read(directory):
    return json.loads((directory / "results.json").read_text())


def test_all_parts_are_measured_and_saved(gpu_workers, tmp_path):
    result = run_script("--output", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert "complete, 0 disagreements, 0 failures" in result.output and not gpu_workers.alive
    results = read(tmp_path / "new")
    assert tuple(results["planned"]["operators"]) == ENTRIES and len(results["cases"]) == 30
    assert results["cases"]["gru 2x512x64x64 train"].keys() == {"keras", "torch", "DeepRNN"}
    assert all(results[section].keys() == set(names) for section, names in results["planned"].items())
    assert results["about"]["gpu"] == {"driver": "1", "cuda": "2"}
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["results.json", "results.md", "steps.png"]
    assert run_script("--output", tmp_path / "new").exit_code == 1  # not overwritten


def test_interrupted_run_is_resumed(gpu_workers, tmp_path):
    gpu_workers.failures["DeepRNN with gaps", "prepare"] = KeyboardInterrupt()
    result = run_script("--output", tmp_path / "new", "--quick")
    assert result.exit_code == 130 and "Missing: variants, 1 of 1: lstm 1x4x3x5 train" in result.output
    before = read(tmp_path / "new")
    assert before["operators"].keys() == set(ENTRIES) and not before["variants"]
    gpu_workers.failures.clear()
    gpu_workers.requests.clear()
    result = run_script("--output", tmp_path / "new", "--quick", "--resume")
    assert result.exit_code == 0 and "complete" in result.output and "Missing" not in result.output
    assert "call" not in {operation for _, operation in gpu_workers.requests}
    assert {**read(tmp_path / "new"), "variants": {}, "cases": {}} == before
    result = run_script("--output", tmp_path / "new", "--quick", "--resume", "--seed", 3)
    assert result.exit_code == 1 and "measured with seed 0, this run has 3" in result.output


def test_disagreement_and_failure_end_with_status_1(gpu_workers, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_run, "tracing_workers", lambda: 2)
    gpu_workers.failures["torch", "measure"] = WorkerError("out of memory\ndetails", True)
    result = run_script("--output", tmp_path / "new", "--quick")
    assert result.exit_code == 1 and "Failure: lstm 1x4x3x5 train torch out of memory" in result.output
    gpu_workers.failures.clear()
    monkeypatch.setitem(gpu_workers.environment, "versions", {"keras": "4"})
    monkeypatch.setattr("bench_fakes.operators", lambda *_: {**OPERATORS, "loops": 2})
    result = run_script("--output", tmp_path / "other", "--quick")
    assert result.exit_code == 1
    assert "Disagreement: d2l_gru_2x32: forward pass: 1 layers are claimed to run on cuDNN, 0 oper" in result.output


OPERATORS = {"cudnn": 0, "cudnn_backward": 0, "native": 0, "executables": 0, "gpu_events": 0, "gpu_kernels": []}


def test_deadline_stops_the_run_and_lists_what_is_missing(gpu_workers, tmp_path, monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr("deeprnn_keras.bench.deadline.time.monotonic", lambda: next(clock))
    result = run_script("--output", tmp_path / "new", "--budget", 40)
    assert result.exit_code == 0 and "; rnn 3x128x1x512 train" in result.output
    assert "Missing: operators" not in result.output and "--resume --output" in result.output
    assert "; rnn 3x128x1x512 train\n\n" in (tmp_path / "new" / "results.md").read_text()
    assert not gpu_workers.alive


def test_page_says_that_torch_is_not_installed(gpu_workers, tmp_path, monkeypatch):
    monkeypatch.setattr(implementations.importlib.util, "find_spec", lambda name: None if name == "torch" else name)
    assert run_script("--output", tmp_path / "new", "--quick").exit_code == 0
    text = (tmp_path / "new" / "results.md").read_text()
    assert "| lstm 1x4x3x5 | 5.00 ±0% | not installed | 5.00 ±0% | 1.00 | - |" in text
    assert "torch is not measured (not installed): pip install 'deeprnn-keras[torch]'." in text


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "No GPU is visible to TensorFlow. On a machine with an NVIDIA GPU, install deeprnn-keras[gpu]"),
        (["--entries", "nothing*"], "--entries must match a model of the zoo, got 'nothing*'"),
        (["--resume"], "--resume requires an --output directory that holds results.json"),
    ],
)
def test_run_that_is_not_possible_is_refused(gpu_workers, tmp_path, monkeypatch, arguments, message):
    monkeypatch.delitem(gpu_workers.environment, "gpu")
    result = run_script("--output", tmp_path / "new", *arguments)
    assert result.exit_code == 1 and message in result.output and not (tmp_path / "new").exists()


@pytest.mark.long
def test_whole_script_runs_on_the_cpu(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--quick", "--entries", "d2l_rnn*"]
    process = subprocess.run(
        [*command, "--output", str(tmp_path / "new"), "--budget", "600"], cwd=ROOT, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert "complete, 0 disagreements, 0 failures" in process.stdout
    results = read(tmp_path / "new")
    (layer, _) = results["operators"]["d2l_rnn_2x32"]["layers"]
    implementation = "xla" if library.unavailable_reason() else "native"
    assert layer == {"path": "deep_rnn/forward_1", "claimed": implementation, "card": implementation}
    assert all(0 < figures["gradients"] < 1e-5 for figures in results["masks"].values())
    assert 1e-5 < results["precision"]["lstm, mixed_float16"]["values"] < 5e-3
