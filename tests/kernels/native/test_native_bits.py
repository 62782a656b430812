"""Bit-equality: repeated calls, threads, parts of the batch, longer sequences, and recomputation."""

import numpy as np
import pytest
from native_cases import CELLS, assert_same_bits, random_case, run, with_layer

from deeprnn_keras.kernels.native import library, sequences
from deeprnn_keras.kernels.native.sequences import Layer

pytestmark = pytest.mark.usefixtures("native")

# (n, T, d, h): large enough for several threads, which share units (the first four) or columns
SIZES = [(32, 6, 40, 136), (1, 40, 128, 256), (4, 30, 200, 100), (45, 7, 100, 130), (128, 6, 30, 36), (300, 5, 16, 32)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_results_do_not_depend_on_threads_or_recomputation(set_threads, cell, size):
    mask = {32: None, 1: "any", 45: "right", 128: "any"}.get(size[0], "left")
    case = random_case(Layer(cell), size, mask)
    set_threads(1)
    expected = run(case)
    for threads in (1, 2, 3):
        set_threads(threads)
        for remat in (False, True):
            actual = run(with_layer(case, remat=remat))
            for name, array in expected.items():
                np.testing.assert_array_equal(actual[name], array, err_msg=f"{name}, {threads} threads, {remat=}")


@pytest.mark.parametrize("cell", CELLS)
def test_layouts_have_the_same_bits(cell):
    case = random_case(Layer(cell), (37, 6, 12, 20), "any")
    assert_same_bits(with_layer(case, x_batch_major=False), case)
    assert_same_bits(with_layer(case, y_batch_major=False), case)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("mask", [None, "any"])
def test_rows_do_not_depend_on_the_rest_of_the_batch(cell, mask):
    layer, inputs, d_y, d_states = random_case(Layer(cell), (40, 12, 70, 90), mask)
    whole = run_with_gradients(layer, inputs, d_y, d_states)
    for rows in (slice(0, 1), slice(3, 5), slice(0, 9), slice(7, 40), slice(0, 33), slice(20, 36)):
        states = [state[rows] for state in inputs.states]
        part = inputs._replace(x=inputs.x[rows], states=states, mask=None if mask is None else inputs.mask[rows])
        results = run_with_gradients(layer, part, d_y[rows], [d_state[rows] for d_state in d_states])
        for actual, expected in zip(results, whole, strict=True):
            np.testing.assert_array_equal(actual, expected[rows])


def run_with_gradients(layer, inputs, d_y, d_states):
    """Return what belongs to the rows of the batch: outputs, states, and their gradients."""
    outputs = sequences.forward(layer, inputs, True)
    gradients = sequences.backward(layer, inputs, outputs.stored, d_y, d_states, True)
    return [outputs.y, *outputs.states, gradients.x, *gradients.states]


@pytest.mark.parametrize("cell", CELLS)
def test_outputs_do_not_depend_on_later_steps(cell):
    layer, inputs, *_ = random_case(Layer(cell), (20, 50, 30, 40))
    whole = sequences.forward(layer, inputs, False).y
    for steps in (1, 7, 49):
        part = sequences.forward(layer, inputs._replace(x=inputs.x[:, :steps]), False).y
        np.testing.assert_array_equal(part, whole[:, :steps])


@pytest.mark.parametrize("cell", CELLS)
def test_padding_changes_no_bit(cell):
    """Steps that are masked in all rows change neither outputs nor weight gradients."""
    case = random_case(Layer(cell), (20, 9, 5, 12), "right")
    padded_inputs = case.inputs._replace(
        x=np.pad(case.inputs.x, ((0, 0), (0, 4), (0, 0)), constant_values=np.nan),
        mask=np.pad(case.inputs.mask, ((0, 0), (0, 4))),
    )
    padded = run(case._replace(inputs=padded_inputs, d_y=np.pad(case.d_y, ((0, 0), (0, 4), (0, 0)))))
    for name, array in run(case).items():
        actual = padded[name][:, :9] if name in ("y", "dx") else padded[name]
        np.testing.assert_array_equal(actual, array, err_msg=name)


def test_memory_of_the_library_is_reused_between_calls_of_different_sizes():
    """Working memory that an earlier call left behind has no effect."""
    case = random_case(Layer("gru"), (20, 5, 3, 9), "any")
    expected = run(case)
    nan = random_case(Layer("lstm"), (64, 9, 40, 70))
    nan = nan._replace(inputs=nan.inputs._replace(x=np.full_like(nan.inputs.x, np.nan)))
    run(nan)
    for name, array in run(case).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_number_of_columns_depends_on_the_batch_only(native):
    assert [sequences.columns(n) >= n for n in range(1, 70)] == [True] * 69
    assert library.compiled_sets(native)[-1] == "portable"
