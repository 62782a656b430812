"""The report of `deeprnn info --build`."""

import pytest
from click.testing import CliRunner

from deeprnn_keras.cli import main
from deeprnn_keras.kernels import machine
from deeprnn_keras.kernels.contract import Machine
from deeprnn_keras.kernels.native import library

BUILD = {
    "path": "a.so",
    "compiler": "12.2.0",
    "compiled": ["avx2", "portable"],
    "instruction_set": "avx2",
    "threads": 2,
}
NOT_BUILT = "the native library was not built: no C compiler was found at installation (cc: command not found)"
XLA_SELECTED = {"xla": "supported, selected by 'auto'", "loop": "supported"}
NO_GPU = "not supported: no GPU is visible to TensorFlow"


def report(monkeypatch, missing="", gpu=False):
    monkeypatch.setattr(library, "unavailable_reason", lambda: missing or None)
    monkeypatch.setattr(library, "describe", lambda: BUILD)
    monkeypatch.setattr(machine, "this_machine", lambda: Machine(gpu=gpu, native_missing=missing))
    result = CliRunner().invoke(main, ["info", "--build"])
    assert result.exit_code == 0, result.output
    build, _, implementations = result.output.partition("\n\nImplementations of a standard LSTM on this machine:\n")
    return [dict(line.split("  ", 1) for line in part.splitlines()) for part in (build, implementations)]


def stripped(rows):
    return {label: value.strip() for label, value in rows.items()}


def test_build_of_the_library(monkeypatch):
    build, implementations = map(stripped, report(monkeypatch))
    assert build["native library"] == "a.so" and build["compiler"] == "12.2.0" and build["threads"] == "2"
    assert build["instruction sets"] == "avx2, portable; selected: avx2"
    assert implementations["native"].startswith("supported") and implementations["cudnn"] == NO_GPU
    assert sum(value.endswith("selected by 'auto'") for value in implementations.values()) == 1


def test_reason_why_the_library_is_missing(monkeypatch):
    build, implementations = map(stripped, report(monkeypatch, missing=NOT_BUILT))
    assert build == {"native library": NOT_BUILT.removeprefix("the native library was ")}
    assert implementations == {**XLA_SELECTED, "native": f"not supported: {NOT_BUILT}", "cudnn": NO_GPU}


def test_machine_with_a_gpu(monkeypatch):
    _, implementations = map(stripped, report(monkeypatch, gpu=True))
    assert implementations["cudnn"] == "supported, selected by 'auto'" and implementations["native"] == "supported"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["info"], "pass a model (deeprnn list) or --build"),
        (["info", "--build", "zaremba_small"], "omit MODEL and --kernels"),
        (["info", "--build", "--kernels"], "omit MODEL and --kernels"),
    ],
)
def test_model_or_build(arguments, message):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2 and message in result.output
