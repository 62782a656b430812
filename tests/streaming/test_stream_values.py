"""Values of streams: every operation, cell, and instruction set against the interpreter in float64."""

import numpy as np
import pytest
from stream_programs import (
    GATES,
    VOCABULARY,
    Everything,
    branched,
    cell_program,
    draw,
    expected,
    function_program,
    operation_program,
    random_inputs,
    stack,
)

from deeprnn_keras import Stream
from deeprnn_keras.equations.activations import ACTIVATIONS
from deeprnn_keras.equations.quasi_recurrent import QuasiRecurrent
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program
from deeprnn_keras.specs import CELLS

INSTRUCTION_SETS = ("avx512", "avx2", "portable")
SIZES = (1, 7, 64, 65, 130)
BATCH_SIZES = (1, 2, 7, 33)


def check(program, batch_size=2, steps=5, tolerance=1e-5):
    """Compare a stream, one step, then a chunk, with the interpreter."""
    inputs = random_inputs(program, batch_size, steps)
    stream = Stream(program, batch_size)
    assert stream.implementation == "native"
    first = _tuple(stream(_argument([x[:, 0] for x in inputs])))
    rest = _tuple(stream.push(_argument([x[:, 1:] for x in inputs])))
    for one, others, value in zip(first, rest, expected(program, inputs), strict=True):
        actual = np.concatenate([one[:, None], others], 1)
        np.testing.assert_allclose(actual, value, rtol=tolerance, atol=tolerance)


def _tuple(value):
    return value if isinstance(value, tuple) else (value,)


def _argument(arrays):
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


@pytest.mark.parametrize("name", INSTRUCTION_SETS)
@pytest.mark.parametrize("cell", GATES)
def test_standard_cells_of_all_sizes(instruction_set, cell, name):
    instruction_set(name)
    for units in SIZES:
        for batch_size in BATCH_SIZES:
            for steps in (1, 5):
                check(stack(cell, units, inputs=4), batch_size, steps)


@pytest.mark.parametrize("options", [{"rate": 3}, {"use_bias": False}, {"ids": True}, {"num_layers": 4}], ids=str)
@pytest.mark.parametrize("cell", GATES)
def test_options_of_standard_cells(native, cell, options):
    check(stack(cell, 20, **options), 3, steps=9)


@pytest.mark.parametrize("cell", GATES)
def test_activations_of_standard_cells(native, cell):
    for name in op.STANDARD_ACTIVATIONS:
        options = {} if cell == "rnn" else {"recurrent_activation": "hard_sigmoid" if name == "tanh" else "sigmoid"}
        check(stack(cell, 10, activation=name, num_layers=1, **options), steps=3)


@pytest.mark.parametrize("name", INSTRUCTION_SETS)
def test_instructions_of_cells(instruction_set, name):
    instruction_set(name)
    for units in SIZES:
        check(cell_program(Everything(units)), 3)
    check(cell_program(Everything(20), rate=2), 7, steps=9)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell.equations], ids=lambda cell: cell.name)
def test_cells_of_the_package(native, cell):
    check(cell_program(cell.equations(12)), 3)


def test_states_of_other_widths_than_the_output(native):
    check(cell_program(QuasiRecurrent(20, window=2), rate=2), 7, steps=9)


@pytest.mark.parametrize("name", INSTRUCTION_SETS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(instruction_set, activation, name):
    instruction_set(name)
    check(function_program(activation, 37), 3)


def test_extreme_arguments_of_activations(native):
    x = np.array([[-1e4, -90, -20, -1e-6, 0, 1e-6, 20, 80, 1e-30]], np.float32)
    for name in ("sigmoid", "tanh", "softplus", "log_sigmoid", "elu", "mish", "softsign", "exponential"):
        program = function_program(name, x.shape[1])
        np.testing.assert_allclose(Stream(program)(x), expected(program, [x[:, None]])[0][:, 0], rtol=1e-5, atol=1e-7)


def test_not_a_number_passes_through(native):
    x = np.array([[np.nan, 1.0]], np.float32)
    for name in ("tanh", "relu", "softplus", "relu6"):
        assert np.isnan(Stream(function_program(name, 2))(x)[0]).tolist() == [True, False], name


OPERATIONS = {
    "dense": (op.Dense("y", ("x",), 70, "w", "b"), 33, {"w": draw(33, 70), "b": draw(70)}),
    "dense without bias": (op.Dense("y", ("x",), 1, "w"), 130, {"w": draw(130, 1)}),
    "tied": (op.Dense("y", ("x",), 33, "w", transposed=True), 20, {"w": draw(33, 20)}),
    "softmax": (op.Softmax("y", ("x",), 67), 67, {}),
    "log softmax": (op.Softmax("y", ("x",), 67, logarithm=True), 67, {}),
    "scale": (op.Scale("y", ("x",), 37, "s", "o"), 37, {"s": draw(37), "o": draw(1)}),
    "normalization": (
        op.LayerNormalization("y", ("x",), 37, 1e-3, "g", "b"),
        37,
        {"g": draw(37), "b": draw(37)},
    ),
    "root mean square": (op.LayerNormalization("y", ("x",), 37, 1e-6, centered=False), 37, {}),
    "sum": (op.Add("y", ("x", "x", "x", "x"), 37), 37, {}),
    "sum of one": (op.Add("y", ("x",), 37), 37, {}),
    "concatenation": (op.Concatenate("y", ("x", "x"), 74), 37, {}),
    "last": (op.Last("y", ("x",), 37), 37, {}),
}
ID_OPERATIONS = {
    "embedding": (op.Embedding("y", ("x",), 21, "w"), VOCABULARY, {"w": draw(VOCABULARY, 21)}),
    "one-hot": (op.OneHot("y", ("x",), VOCABULARY), VOCABULARY, {}),
}


@pytest.mark.parametrize("name", INSTRUCTION_SETS)
def test_operations(instruction_set, name):
    instruction_set(name)
    for operation, inputs, weights in OPERATIONS.values():
        for batch_size in BATCH_SIZES:
            check(operation_program(operation, inputs, weights), batch_size)
    for operation, inputs, weights in ID_OPERATIONS.values():
        check(operation_program(operation, inputs, weights, ids=True), 3)


def test_one_hot_vectors_that_are_multiplied_are_not_stored(native):
    """The products select rows of their weights by the ids, with the same result."""
    weights = {"w": draw(VOCABULARY, 6)}
    operations = (op.OneHot("one_hot", ("x",), VOCABULARY), op.Dense("y", ("one_hot",), 6, "w"))
    program = Program("selection", (op.Input("x", VOCABULARY, ids=True),), operations, ("y",), weights)
    ids = np.arange(VOCABULARY)[None]
    np.testing.assert_array_equal(Stream(program).push(ids)[0], weights["w"])


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_several_inputs_and_outputs(native, batch_size):
    check(branched(), batch_size)


def test_thousand_steps(native):
    program = stack("lstm", 24)
    inputs = random_inputs(program, 2, 1_000)
    stream = Stream(program, 2)
    actual = np.stack([stream(x) for x in np.moveaxis(inputs[0], 1, 0)], 1)
    np.testing.assert_allclose(actual, expected(program, inputs)[0], atol=1e-5)
