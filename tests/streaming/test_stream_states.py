"""States of streams: reading, assignment, reset of rows, another process, pickling, new weights, and NumPy."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from stream_programs import (
    GATES,
    Everything,
    branched,
    cell_program,
    expected,
    random_inputs,
    stack,
    with_initial_states,
)

from deeprnn_keras import Program, Stream
from deeprnn_keras.program.interpreter import Interpreter
from deeprnn_keras.streaming import runtime

PROGRAMS = {
    **{cell: stack(cell, 10) for cell in GATES},
    "dilated": stack("lstm", 9, rate=3),
    "cell": cell_program(Everything(6), rate=2),
    "branched": branched(),
    "initial states": with_initial_states(stack("lstm", 9, rate=2)),
    "initial states of a cell": with_initial_states(cell_program(Everything(6))),
}


@pytest.fixture(params=["native", "numpy"])
def implementation(request, monkeypatch):
    """Run the test with the native library and with NumPy."""
    if request.param == "native":
        request.getfixturevalue("native")
    else:
        monkeypatch.setattr(runtime.library, "unavailable_reason", lambda: "not built")
    return request.param


def push(stream, inputs, start, stop):
    """Return the outputs of some steps as a list."""
    chunk = [x[:, start:stop] for x in inputs]
    results = stream.push(chunk[0] if len(chunk) == 1 else tuple(chunk))
    return list(results) if isinstance(results, tuple) else [results]


def assert_initial(stream, program):
    initial = program.initial_states(stream.batch_size)
    assert all(np.array_equal(state, initial[name]) for name, state in stream.state.items())


@pytest.mark.parametrize("name", PROGRAMS)
def test_states_are_those_of_the_interpreter_and_continue_a_stream(implementation, name):
    program = PROGRAMS[name]
    inputs = random_inputs(program, 3, 12)
    stream = Stream(program, 3)
    assert stream.implementation == implementation
    assert_initial(stream, program)
    push(stream, inputs, 0, 7)
    states = stream.state
    reference = Interpreter(program, np.float64, streaming=True).run([x[:, :7] for x in inputs])[1]
    assert list(states) == list(reference) == list(program.states)
    for key, state in states.items():
        np.testing.assert_allclose(state, reference[key], atol=1e-5)
    rest = push(stream, inputs, 7, 12)
    push(stream, inputs, 0, 2)
    stream.state = states
    for key, state in stream.state.items():
        np.testing.assert_array_equal(state, states[key])
    for actual, value in zip(push(stream, inputs, 7, 12), rest, strict=True):
        np.testing.assert_array_equal(actual, value)


@pytest.mark.parametrize("name", PROGRAMS)
def test_numpy_gives_the_same_values(monkeypatch, name):
    monkeypatch.setattr(runtime.library, "unavailable_reason", lambda: "not built")
    program = PROGRAMS[name]
    inputs = random_inputs(program, 2, 6)
    stream = Stream(program, 2)
    first = stream(inputs[0][:, 0] if len(inputs) == 1 else tuple(x[:, 0] for x in inputs))
    first = first if isinstance(first, tuple) else (first,)
    rest = push(stream, inputs, 1, 6)
    for one, others, value in zip(first, rest, expected(program, inputs), strict=True):
        np.testing.assert_allclose(np.concatenate([one[:, None], others], 1), value, atol=1e-5)


@pytest.mark.parametrize("name", PROGRAMS)
def test_reset_of_rows_begins_their_sequences_again(implementation, name):
    program = PROGRAMS[name]
    inputs = random_inputs(program, 4, 10)
    stream = Stream(program, 4)
    push(stream, inputs, 0, 5)
    stream.reset(rows=[1, 3])
    actual = push(stream, inputs, 5, 10)
    whole = expected(program, inputs)
    again = expected(program, [x[:, 5:] for x in inputs])
    for one, continued, begun in zip(actual, whole, again, strict=True):
        np.testing.assert_allclose(one[[0, 2]], continued[[0, 2], 5:], atol=1e-5)
        np.testing.assert_allclose(one[[1, 3]], begun[[1, 3]], atol=1e-5)
    stream.reset()
    assert_initial(stream, program)
    stream.reset(rows=[])
    stream.reset(rows=0)


def test_state_is_a_copy(implementation):
    stream = Stream(PROGRAMS["lstm"])
    stream.state["layer_1/h"][...] = 1
    assert not stream.state["layer_1/h"].any()
    given = {name: np.ones_like(state) for name, state in stream.state.items()}
    stream.state = given
    given["layer_1/h"][...] = 2
    assert (stream.state["layer_1/h"] == 1).all()


def test_pickled_stream_continues(implementation):
    program = PROGRAMS["dilated"]
    inputs = random_inputs(program, 2, 9)
    stream = Stream(program, 2)
    push(stream, inputs, 0, 4)
    copy = pickle.loads(pickle.dumps(stream))
    for one, other in zip(push(copy, inputs, 4, 9), push(stream, inputs, 4, 9), strict=True):
        np.testing.assert_array_equal(one, other)
    assert repr(copy) == repr(stream)


CONTINUE = """
import sys
import numpy as np
from deeprnn_keras import Program, Stream

stream = Stream(Program.load("program.safetensors"), 2)
stream.state = dict(np.load("state.npz"))
np.save("y.npy", stream.push(np.load("x.npy")))
assert not {"keras", "tensorflow"} & set(sys.modules)
"""


@pytest.mark.parametrize("name", ["lstm", "dilated", "cell"])
def test_another_process_continues_with_the_same_bits(native, tmp_path, name):
    program = PROGRAMS[name]
    inputs = random_inputs(program, 2, 9)
    stream = Stream(program, 2)
    push(stream, inputs, 0, 4)
    program.save(tmp_path / "program.safetensors")
    np.savez(tmp_path / "state.npz", **stream.state)
    np.save(tmp_path / "x.npy", inputs[0][:, 4:])
    subprocess.run([sys.executable, "-c", CONTINUE], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), push(stream, inputs, 4, 9)[0])


def test_refresh_reads_the_weights_of_the_model_again(native, rng):
    import keras

    from deeprnn_keras import LSTM

    model = keras.Sequential([keras.Input((None, 3)), LSTM(4, return_sequences=True), keras.layers.Dense(2)])
    stream = Stream(model)
    x = rng.normal(size=(1, 3)).astype(np.float32)
    before = stream(x)
    states = stream.state
    model.layers[-1].kernel.assign(2 * model.layers[-1].kernel)
    stream.refresh()
    assert all((stream.state[name] == state).all() for name, state in states.items())
    stream.reset()
    np.testing.assert_allclose(stream(x), 2 * before, rtol=1e-6)


def test_iterate_yields_as_steps_arrive(implementation):
    program = stack("rnn", 4)
    inputs = random_inputs(program, 1, 3)[0]
    read = []

    def steps():
        for t in range(3):
            read.append(t)
            yield inputs[:, t]

    iterator = Stream(program).iterate(steps())
    values = [next(iterator)]
    assert read == [0]
    values += list(iterator)
    np.testing.assert_allclose(np.stack(values, 1), expected(program, [inputs])[0], atol=1e-5)


def test_program_without_states(implementation):
    from stream_programs import function_program

    stream = Stream(function_program("relu", 3), 2)
    assert stream.state == {}
    stream.state = {}
    stream.reset()
    assert stream([[1, -1, 0], [2, 3, -4]]).tolist() == [[1, 0, 0], [2, 3, 0]]
    assert stream.push(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert isinstance(stream.program, Program)
