"""Values and gradients of the native library against a reference in NumPy, for each instruction set."""

import numpy as np
import pytest
import sequence_oracle
from native_cases import CELLS, INSTRUCTION_SETS, MASKS, assert_equal_to_reference, random_case
from native_processes import run_python

from deeprnn_keras.kernels.native import SUPPORTED_ACTIVATIONS, library, sequences
from deeprnn_keras.kernels.native.sequences import Layer

pytestmark = pytest.mark.usefixtures("native")

# (n, T, d, h): sizes of 1, n around the numbers of lanes (4, 8, 16, their halves and doubles), h around multiples of 8
FEW_SIZES = [(1, 1, 1, 1), (3, 4, 9, 17), (9, 5, 8, 8), (20, 9, 12, 33)]
SIZES = [
    *FEW_SIZES,
    *[(1, 7, 3, 5), (2, 5, 1, 8), (4, 2, 7, 9), (5, 6, 4, 20), (7, 3, 5, 7), (8, 3, 33, 24), (13, 4, 5, 40)],
    *[(15, 3, 8, 10), (16, 3, 7, 16), (17, 1, 6, 3), (25, 6, 3, 12), (31, 2, 5, 15), (32, 4, 16, 31), (33, 5, 17, 64)],
    *[
        (40, 20, 10, 12),
        (63, 3, 9, 16),
        (70, 6, 20, 30),
        (130, 4, 3, 10),
        (300, 3, 5, 8),
        (1, 150, 4, 8),
        (2, 90, 5, 70),
    ],
]
OPTIONS = {
    "plain": {},
    "columns": {"x_batch_major": False, "y_batch_major": False},
    "columns in": {"x_batch_major": False, "reverse": True},
    "columns out": {"y_batch_major": False, "reverse": True, "remat": True},
    "remat": {"remat": True},
    "last": {"return_sequences": False},
}


def check_grid(cell, sizes):
    for size in sizes:
        for mask in MASKS:
            for options in OPTIONS.values():
                assert_equal_to_reference(random_case(Layer(cell, **options), size, mask, bias="remat" not in options))


@pytest.mark.parametrize("cell", CELLS)
def test_values_and_gradients_equal_reference(cell):
    check_grid(cell, FEW_SIZES)


@pytest.mark.slow
@pytest.mark.parametrize("name", INSTRUCTION_SETS)
@pytest.mark.parametrize("cell", CELLS)
def test_each_instruction_set_equals_reference(instruction_set, cell, name):
    instruction_set(name)
    check_grid(cell, SIZES)


@pytest.mark.parametrize("name", INSTRUCTION_SETS)
@pytest.mark.parametrize("activation", SUPPORTED_ACTIVATIONS)
def test_activations_equal_reference(instruction_set, name, activation):
    instruction_set(name)
    for cell in CELLS:
        for gates in SUPPORTED_ACTIVATIONS:
            assert_equal_to_reference(random_case(Layer(cell, activation, gates), (20, 4, 6, 12), "any"), 2e-5)


@pytest.mark.parametrize("name", INSTRUCTION_SETS)
def test_environment_variable_selects_instruction_set(instruction_set, name):
    instruction_set(name)  # skips the test if the CPU lacks it
    program = (
        "import test_native_values as t; from deeprnn_keras.kernels.native import library\n"
        "print(library.describe()['instruction_set'])\n"
        "for cell in t.CELLS: t.check_grid(cell, [(5, 3, 2, 9), (37, 2, 3, 9)])"
    )
    process = run_python(program, **{library.INSTRUCTION_SET_VARIABLE: name})
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == name


@pytest.mark.parametrize("name", INSTRUCTION_SETS)
def test_activations_are_accurate(instruction_set, name):
    """Relative error over the whole range, including saturation, infinity, and NaN."""
    instruction_set(name)
    magnitudes = np.geomspace(1e-30, 1e30, 500).astype("float32")
    x = np.concatenate([-magnitudes, [0, -np.inf, np.inf, np.nan], magnitudes, np.linspace(-100, 100, 999)])
    x = x.astype("float32")[:, None, None]
    one, zero = np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")
    for activation in SUPPORTED_ACTIVATIONS:
        inputs = sequences.Inputs(x, one, zero, None, [np.zeros((len(x), 1), "float32")], None)
        y = sequences.forward(Layer("rnn", activation), inputs, False).y
        with np.errstate(over="ignore"):
            expected = sequence_oracle.FUNCTIONS[activation](x.astype("float64"))
        np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-36, err_msg=activation)


@pytest.mark.parametrize("cell", CELLS)
def test_reference_gradients_equal_finite_differences(rng, cell):
    """The reference itself: its gradients are the slopes of its values."""
    case = random_case(Layer(cell, reverse=True), (3, 4, 2, 3), "any")
    inputs = case.inputs._replace(x=np.nan_to_num(case.inputs.x))

    def loss(inputs):
        y, states, _ = sequence_oracle.forward(case.layer, inputs)
        return np.sum(y * case.d_y) + sum(np.sum(s * d) for s, d in zip(states, case.d_states, strict=True))

    x, W, U, b, states, mask = inputs
    directions = [rng.normal(size=array.shape) for array in (x, W, U, b, *states)]

    def moved(by):
        x_, W_, U_, b_, *states_ = (a + by * d for a, d in zip((x, W, U, b, *states), directions, strict=True))
        return sequences.Inputs(x_, W_, U_, b_, states_, mask)

    *gradients, d_states = sequence_oracle.backward(case.layer, inputs, case.d_y, case.d_states)
    slope = sum(np.sum(g * d) for g, d in zip((*gradients, *d_states), directions, strict=True))
    np.testing.assert_allclose((loss(moved(1e-5)) - loss(moved(-1e-5))) / 2e-5, slope, rtol=1e-6)
