"""The call stack from `DeepRNN.call` to a matrix product is short, and no kernel calls a layer."""

import functools

import pytest

from benchmarks import frames as stack_frames

products_of = functools.cache(stack_frames.products_of)

HAND_WRITTEN = {"frames": 8, "files": 4}
DERIVED = {"frames": 12, "files": 6}


@pytest.mark.parametrize("implementation", ["xla", "loop"])
@pytest.mark.parametrize(
    ("cell", "limits"),
    [("rnn", HAND_WRITTEN), ("gru", HAND_WRITTEN), ("lstm", HAND_WRITTEN), ("mlp_gate_lstm", DERIVED)],
    ids=lambda value: str(value),
)
def test_number_of_frames_before_first_product(cell, limits, implementation):
    frames = products_of(cell, implementation)[0]
    assert len(frames) <= limits["frames"]
    assert len({file for file, _ in frames}) <= limits["files"]


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_no_kernel_calls_a_layer(cell):
    for frames in products_of(cell, "xla"):
        directories = [file.split("/")[0] for file, _ in frames]
        assert directories == sorted(directories, key=["layers", "kernels"].index)
