"""Every entry of the zoo, at a small size, as a file of each format with a runtime of its own."""

import pytest
from exported_programs import check_sequences, check_steps, written, zoo_program
from zoo_models import BUILDABLE

from deeprnn_keras.exporters.targets import find_target

RUNTIMES = {"onnx": "onnxruntime", "litert": "ai_edge_litert", "savedmodel": "tensorflow"}


@pytest.mark.parametrize(
    "format",
    [
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("onnx", "litert")),
        pytest.param("savedmodel", marks=pytest.mark.long),  # TensorFlow traces two signatures for each
    ],
)
@pytest.mark.parametrize("name", BUILDABLE)
def test_file_equals_the_reference(name, format, tmp_path):
    pytest.importorskip(RUNTIMES[format])
    target, program = find_target(tmp_path, format), zoo_program(name)
    batch_size = target.default_batch_size or 2
    _, runner = written(target, program, tmp_path)
    check_sequences(runner, program, batch_size)
    if program.looking_ahead is None:
        if not target.always_streams:
            _, runner = written(target, program, tmp_path, streaming=True)
        check_steps(runner, program, batch_size)
