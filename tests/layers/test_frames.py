"""The way from `DeepRNN.call` to a matrix product is a few frames, and goes down only."""

import pytest

from benchmarks.frames import products_of

FEW = {"frames": 8, "files": 4}
DERIVED = {"frames": 12, "files": 6}


@pytest.mark.parametrize("implementation", ["xla", "loop"])
@pytest.mark.parametrize(
    ("cell", "most"),
    [("rnn", FEW), ("gru", FEW), ("lstm", FEW), ("mlp_gate_lstm", DERIVED)],
    ids=lambda value: str(value),
)
def test_frames_before_the_first_product(cell, most, implementation):
    frames = products_of(cell, implementation)[0]
    assert len(frames) <= most["frames"]
    assert len({file for file, _ in frames}) <= most["files"]


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_no_kernel_calls_a_layer(cell):
    for frames in products_of(cell, "xla"):
        directories = [file.split("/")[0] for file, _ in frames]
        assert directories == sorted(directories, key=["layers", "kernels"].index)
