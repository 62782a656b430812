"""Matrices of 8 bits: integers, scales, and the remark in reports."""

import numpy as np
import pytest
from exported_programs import hand_made

from deeprnn_keras import export
from deeprnn_keras.exporters.quantization import factors, to_int8


@pytest.mark.parametrize("axis", [0, 1, None])
def test_integers_and_scales_are_nearest(axis):
    matrix = np.random.default_rng(0).normal(size=(5, 7)).astype("float32")
    matrix[:, 3] = matrix[2] = 0
    integers, scales = to_int8(-matrix, axis)
    assert integers.dtype == np.int8 and scales.dtype == np.float32 and np.abs(integers).max() == 127
    assert scales.size == {0: 7, 1: 5, None: 1}[axis]
    assert (np.abs(integers * scales + matrix) <= scales * 0.5001).all()


@pytest.mark.parametrize("largest", [0.0, 1e-45, 2e-43, 1e-38, 3e38])
def test_scales_of_extreme_numbers(largest):
    matrix = np.array([[-largest, largest / 2]], "float32")
    integers, scales = to_int8(matrix, axis=1)
    assert integers[0, 0] <= 0 <= integers[0, 1] and np.isfinite(scales).all()
    np.testing.assert_allclose(integers * scales, matrix, rtol=0, atol=max(largest / 200, 1e-35))


@pytest.mark.parametrize(("name", "count"), [("gru", 5), ("rhn", 4), ("keras_layers", 5), ("tied_head", 6)])
def test_factors(name, count):
    program = hand_made(name)
    names = {weight for operation in program.operations for weight in factors(operation)}
    assert len(names) == count and all(program.weights[weight].ndim == 2 for weight in names)


@pytest.mark.parametrize(
    ("suffix", "name", "part"),
    [
        (".c", "gru", "390 of 464 weights have 8 bits, with one scale per output; activations and sums have 32 bits."),
        (".tflite", "gru", "of 464 weights have 8 bits, with one scale per output, or one per gate in fused"),
        (".onnx", "lstm", "8 bits, with one scale per output; products also round their inputs to 8 bits."),
    ],
)
def test_report_notes_the_quantized_weights(suffix, name, part, tmp_path):
    report = export(hand_made(name), tmp_path / f"p{suffix}", quantize="int8", verify=False)
    (note,) = [note for note in report.notes if note.startswith("quantize='int8': ")]
    assert part in note
