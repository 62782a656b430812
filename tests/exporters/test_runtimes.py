"""Exported files in processes that do not import this package, with the code of docs/export.md."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from deeprnn_keras import DeepRNN, export

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "export.md"
CHECK = "\nimport sys\nassert not {frameworks} & set(sys.modules)\nprint(*y.shape)\n"


@pytest.mark.parametrize(
    ("runtime", "file", "shape", "frameworks"),
    [
        ("onnxruntime", "sensor.onnx", "1 1 1", {"keras", "tensorflow", "deeprnn_keras"}),
        ("ai_edge_litert", "sensor.tflite", "1 100 1", {"keras", "tensorflow", "deeprnn_keras"}),
        pytest.param("tensorflow", "sensor", "1 100 1", {"deeprnn_keras"}, marks=pytest.mark.slow),
    ],
)
def test_code_of_the_guide_runs_without_a_framework(runtime, file, shape, frameworks, tmp_path):
    pytest.importorskip(runtime)
    layers = [keras.Input((None, 8)), DeepRNN(16, num_layers=2, return_sequences=True), keras.layers.Dense(1)]
    export(keras.Sequential(layers, name="sensor"), tmp_path / file, streaming=file.endswith(".onnx"), verify=False)
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if f'"{file}")' in block and runtime in block]
    command = [sys.executable, "-c", code + CHECK.format(frameworks=frameworks)]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert process.stdout.strip() == shape, process.stderr
