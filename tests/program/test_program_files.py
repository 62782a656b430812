"""Files of programs: without Keras, equal to the bit, and refused if they are damaged or contradict themselves."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from program_checks import random_inputs
from safetensors.numpy import load, save
from source_files import ROOT

from deeprnn_keras import DeepRNN, LanguageModel, Program, lower
from deeprnn_keras.program.files import KEY
from deeprnn_keras.program.interpreter import run
from deeprnn_keras.reading import DamagedFileError

IMPORTS = "print(*[name for name in ('keras', 'tensorflow', 'torch', 'jax') if name in sys.modules])"


def run_python(code):
    process = subprocess.run([sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True, cwd=ROOT)
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def program():
    options = {"embedding": 3, "head_units": [5], "dilation": [1, 2], "activation": ["tanh", "elu"], "name": "m"}
    return lower(LanguageModel("abc ", 4, 2, ["gru", "mlp_gate_lstm"], **options), batch_size=2)


def stored_listing(program, path):
    """Save a program and return its listing as JSON values, and its arrays."""
    program.save(path)
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"][KEY]), load(data)


def test_loaded_program_is_equal(program, tmp_path):
    program.save(tmp_path / "p.safetensors")
    loaded = Program.load(tmp_path / "p.safetensors")
    for name in ("name", "inputs", "operations", "outputs", "attributes", "batch_size", "states"):
        assert getattr(loaded, name) == getattr(program, name), name
    assert loaded.weights.keys() == program.weights.keys()
    inputs = random_inputs(program, 2, 6)
    (outputs, states), (outputs_2, states_2) = run(program, inputs), run(loaded, inputs)
    np.testing.assert_array_equal(outputs[0], outputs_2[0])
    assert states.keys() == states_2.keys() and loaded.states["deep_rnn/forward_2/c"].shape(3) == (3, 2, 4)
    assert str(loaded) == str(program) and "deep_rnn/forward_2  Cell(deep_rnn/forward_1), width 4: rate=2" in str(
        program
    )


def test_program_runs_without_keras(program, tmp_path):
    program.save(tmp_path / "p.safetensors")
    inputs = random_inputs(program, 2, 6)
    code = f"""
import numpy as np
from deeprnn_keras import Program
import deeprnn_keras.program.interpreter, deeprnn_keras.program.lowering
program = Program.load({str(tmp_path / "p.safetensors")!r})
(outputs,), states = deeprnn_keras.program.interpreter.run(program, [np.array({inputs[0].tolist()})])
np.save({str(tmp_path / "y.npy")!r}, outputs)
{IMPORTS}"""
    assert run_python(code).strip() == ""
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), run(program, inputs)[0][0])


def test_program_of_a_zoo_model_loads_without_keras():
    code = f"""
from deeprnn_keras import zoo
from deeprnn_keras.data.words import deserialize_vocabulary
program = zoo.load_program("kjv_gru_2x256")
print(program.attributes["kind"], len(deserialize_vocabulary(program.attributes["vocabulary"])))
{IMPORTS}"""
    assert run_python(code).split() == ["language", "66"]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda v: v.pop("version"), "it has another version than 1; update deeprnn-keras"),
        (lambda v: v.update(version=2), "another version"),
        (lambda v: v["operations"][0].update(operation="Lambda"), "unknown operation 'Lambda'"),
        (lambda v: v["operations"][0].update(inputs=["head"]), "reads .* which is not an earlier value"),
        (lambda v: v["operations"][0].update(weight="nothing"), "reads weight 'nothing', which does not exist"),
        (lambda v: v["operations"][0].update(width=7), "must have shape"),
        (lambda v: v["operations"][0].update(width="3"), "width"),
        (lambda v: v["operations"].pop(1), "is not an earlier value"),
        (lambda v: v["operations"][1].update(cell="lstm"), "must have shape"),
        (lambda v: v["operations"][1].update(cell="x"), "must have one of the cells"),
        (lambda v: v["operations"][1].update(activation="elu"), "must have activations from"),
        (lambda v: v["operations"][2].update(rate=0), "dilation rate of at least 1, got 0"),
        (lambda v: v["operations"][2]["step"]["instructions"][0].update(primitive="import"), "unknown instruction"),
        (lambda v: v["operations"][2]["step"]["instructions"][0].update(operands=[40]), "reads a later value"),
        (lambda v: v["operations"][2]["step"]["instructions"][0].update(columns=[[0, 99]]), "wrong width or operand"),
        (lambda v: v["operations"][2]["step"].update(outputs=[99, 0]), "returns values that do not exist"),
        (lambda v: v["operations"][2]["step"].update(projected=50), "instructions before its states"),
        (lambda v: v.update(outputs=["tokens"]), "is not one of its values"),
        (lambda v: v.update(outputs=[]), "must have an input and an output"),
        (lambda v: v.update(batch_size=0), "batch_size must be a positive integer"),
        (lambda v: v["inputs"].append(v["inputs"][0]), "is empty or used twice"),
        (lambda v: v["inputs"][0].update(ids=False), "which is not a sequence of ids"),
        (lambda v: v.update(code="import os"), "code"),
    ],
)
def test_contradictions_are_refused(program, tmp_path, change, message):
    path = tmp_path / "p.safetensors"
    listing, arrays = stored_listing(program, path)
    change(listing)
    path.write_bytes(save(arrays, {KEY: json.dumps(listing)}))
    with pytest.raises(DamagedFileError, match=rf"p.safetensors: not the file of a program, or damaged: .*{message}"):
        Program.load(path)


def test_other_files_are_refused(program, tmp_path):
    path = tmp_path / "p.safetensors"
    with pytest.raises(FileNotFoundError):
        Program.load(path)
    listing, arrays = stored_listing(program, path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DamagedFileError, match="not the file of a program, or damaged"):
        Program.load(path)
    path.write_bytes(save(arrays))
    with pytest.raises(DamagedFileError, match="it contains weights, but no list of operations"):
        Program.load(path)
    for array in (np.full(4, np.nan, "float32"), np.zeros(4, "int32")):
        path.write_bytes(save({**arrays, "head/layer_2/bias": array}, {KEY: json.dumps(listing)}))
        with pytest.raises(DamagedFileError, match="'head/layer_2/bias' must contain finite floating-point numbers"):
            Program.load(path)


def test_extra_arrays_are_ignored_and_half_precision_is_read(program, tmp_path):
    path = tmp_path / "p.safetensors"
    listing, arrays = stored_listing(program, path)
    half = {name: array.astype("float16") for name, array in arrays.items()}
    path.write_bytes(save({**half, "other": np.zeros(2, "int32")}, {KEY: json.dumps(listing)}))
    loaded = Program.load(path)
    assert loaded.weights.keys() == program.weights.keys()
    for name, array in loaded.weights.items():
        np.testing.assert_array_equal(array, half[name].astype("float32"))


def test_float64_interpreter_is_more_precise():
    model = keras.Sequential([keras.Input((None, 2)), DeepRNN(3, 2, return_sequences=True)])
    program = lower(model)
    inputs = random_inputs(program, 2, 5)
    (single,), _ = run(program, inputs)
    (double,), states = run(program, inputs, dtype=np.float64)
    assert double.dtype == np.float64 and {state.dtype for state in states.values()} == {np.dtype("float64")}
    np.testing.assert_allclose(single, double, atol=1e-6)
