"""C and Python files: equal to the reference interpreter, whole and streamed."""

import functools

import exported_programs as programs
import numpy as np
import pytest
from zoo_models import BUILDABLE

from deeprnn_keras import zoo
from deeprnn_keras.equations.trace import Instruction, Trace
from deeprnn_keras.exporters.c_source.target import CTarget
from deeprnn_keras.exporters.c_source.weights import dequantized, float_literal
from deeprnn_keras.exporters.numpy_source.target import NumPyTarget
from deeprnn_keras.program.interpreter import Interpreter
from deeprnn_keras.program.operations import Cell, Dense, Input, Scale
from deeprnn_keras.program.program import Program

TARGETS = pytest.mark.parametrize("target", [CTarget(), NumPyTarget()], ids=["c", "numpy"])
CAUSAL = [name for name in programs.MODELS if "bidirectional" not in name]


@functools.cache
def streamed(make, name, steps=1000):
    """Return the outputs and states of a named program after steps with random inputs: once for both targets."""
    program = make(name)
    return Interpreter(program, np.float64, streaming=True).run(programs.random_inputs(program, 2, steps))


def assert_exact(target, program, directory, steps=1000, reference=None, expected=None, **options):
    """Write a program once; compare whole sequences, and `steps` streamed ones with their states."""
    reference = reference or program
    _, runner = programs.written(target, program, directory, **options)
    for length in (1, 7, 100):
        inputs = programs.random_inputs(program, 2, length)
        programs.assert_close(runner.run(inputs), Interpreter(reference, np.float64).run(inputs)[0])
    inputs = programs.random_inputs(program, 2, steps)
    outputs, states = [], None
    for t in range(steps):
        output, states = runner.step([x[:, t] for x in inputs], states)
        outputs.append(output)
    expected, after = expected or Interpreter(reference, np.float64, streaming=True).run(inputs)
    programs.assert_close([np.stack(one, axis=1) for one in zip(*outputs, strict=True)], expected)
    assert list(states) == list(program.states)
    programs.assert_close(list(states.values()), list(after.values()))


@TARGETS
@pytest.mark.parametrize("name", CAUSAL)
def test_hand_made_models(target, name, tmp_path):
    assert_exact(target, programs.hand_made(name), tmp_path, expected=streamed(programs.hand_made, name))


@pytest.mark.parametrize("name", [name for name in programs.MODELS if "bidirectional" in name])
def test_numpy_reads_sequences_in_both_directions(name, tmp_path):
    programs.assert_whole(NumPyTarget(), programs.hand_made(name), tmp_path)


@pytest.mark.slow
@TARGETS
@pytest.mark.parametrize("name", BUILDABLE)
def test_zoo(target, name, tmp_path):
    program = programs.zoo_program(name)
    if program.looking_ahead is None:
        assert_exact(target, program, tmp_path, expected=streamed(programs.zoo_program, name))


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "rhn", "embedding", "tied_head", "one_hot"])
def test_int8_file_equals_the_program_with_its_weights(name, tmp_path):
    program = programs.hand_made(name)
    assert_exact(CTarget(), program, tmp_path, 50, dequantized(program), quantize="int8")


UNARY = ("negate", "sigmoid", "tanh", "relu", "hard_sigmoid", "exp", "softplus")
POSITIVE = ("log", "sqrt", "rsqrt")


@TARGETS
def test_every_primitive(target, tmp_path):
    """One cell that uses each primitive, with parts of parts, and states that change places."""
    at = iter(range(4, 100))
    instructions, index = [], {}

    def add(name, primitive, operands, width=3, **details):
        instructions.append(Instruction(primitive, tuple(index.get(one, one) for one in operands), width, **details))
        index[name] = next(at)

    for number, name in enumerate(UNARY):
        add(name, name, [0 if number == 0 else UNARY[number - 1]])
    for name in POSITIVE:
        add(name, name, ["softplus"])
    add("half", "constant", [], 1, number=-0.3)
    add("joined", "concatenate", ["log", "sqrt", 1], 9)
    add("part", "split", ["joined"], 5, start=2)
    add("part of part", "split", ["part"], 3, start=1)
    add("mean", "mean", ["part"], 1)
    add("product", "affine", ["part of part"], 3, weight="w", columns=((1, 3), (0, 1)), bias="b")
    add("blocks", "diagonal", ["part of part"], 6, weight="d", columns=((0, 6),), bias="e")
    add("second", "split", ["blocks"], 3, start=3)
    add("difference", "subtract", ["product", "rsqrt"])
    add("nested", "subtract", ["second", "difference"])
    add("ratio", "divide", ["nested", "softplus"])
    add("greater", "greater", ["ratio", "mean"])
    add("where", "where", ["greater", "ratio", "mean"])
    add("compared", "greater", ["where", 1])
    add("larger", "maximum", ["where", 2])
    add("scaled", "multiply", ["larger", "half"])
    add("sum", "add", ["scaled", "compared"])
    add("bounded", "tanh", ["sum"])
    rng = np.random.default_rng(0)
    shapes = {"w": (3, 4), "b": 4, "d": 6, "e": 6}
    weights = {name: rng.normal(size=shape).astype("f") for name, shape in shapes.items()}
    step = Trace((3, 3, 3, 3), tuple(instructions), (index["bounded"], 1, 2))
    pairs = tuple((name, name) for name in weights)
    cell = Cell("c", ("x",), 3, step=step, state_names=("h", "v5", "c"), weights=pairs)
    assert_exact(target, Program("p", (Input("x", 3),), (cell,), ("c",), weights), tmp_path, 100)


@TARGETS
def test_names_that_are_keywords_and_several_inputs_and_outputs(target, tmp_path):
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=2).astype("f") for name in ("class", "*/", "ä", "file")}
    scale = Scale("while", ("int",), 2, "class", "*/")
    inputs = (Input("int", 2), Input("np", 1), Input("X", 2), Input("x", 2), Input("tokens", 3, ids=True))
    weights["v"] = rng.normal(size=(1, 130)).astype("f")
    dense = Dense("W", ("np",), 130, "v")
    other = Scale("state", ("X",), 2, "ä", "file")
    outputs = ("while", "W", "state", "x", "while")
    assert_exact(target, Program("日本 */", inputs, (scale, dense, other), outputs, weights), tmp_path, 20)


def test_float_literals_are_exact():
    values = (
        np.random.default_rng(0).normal(size=1000).astype("f")
        * np.float32(10.0) ** np.arange(-30, 30).repeat(17)[:1000]
    )
    for value in [*values.astype("f"), np.float32(1), np.float32(1e-45), np.float32(3.4e38)]:
        assert np.float32(float_literal(float(value)).removesuffix("f")) == value
    assert float_literal(2.0) == "2.0f" and float_literal(1e10) == "1e+10f"


KING_JAMES = [name for name in zoo.list_models("kjv_*") if zoo.info(name).task == "language"]


@TARGETS
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long if "512" in name else pytest.mark.slow) for name in KING_JAMES],
)
def test_king_james_models_at_full_size(target, name, tmp_path):
    assert_exact(target, zoo.load_program(name), tmp_path)
