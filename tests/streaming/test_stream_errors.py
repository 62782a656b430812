"""Errors of streams: each names the argument, what it received, and what is supported."""

import numpy as np
import pytest
from stream_programs import branched, draw, stack

from deeprnn_keras import Stream
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

FLOATS = np.float32


@pytest.fixture
def stream():
    return Stream(stack("lstm", 4, inputs=3, outputs=2), 2)


@pytest.fixture
def id_stream():
    return Stream(stack("gru", 4, inputs=5, ids=True), 2)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 4), FLOATS), r"input 'x' must have shape \(2, 3\), got \(2, 4\)"),
        (np.zeros((1, 3), FLOATS), r"input 'x' must have shape \(2, 3\), got \(1, 3\)"),
        (np.zeros((2, 3), complex), "input 'x' must be real numbers, got dtype complex128"),
        (np.array([["a"] * 3] * 2), "input 'x' must be real numbers, got dtype <U1"),
        (None, r"input 'x' must have shape \(2, 3\), got \(\)"),
    ],
    ids=str,
)
def test_inputs(stream, x, message):
    with pytest.raises(ValueError, match=message):
        stream(x)
    with pytest.raises(ValueError, match=r"input 'x'|push needs"):
        stream.push(x if x is None else x[:, None])


def test_push_without_steps(stream):
    with pytest.raises(ValueError, match=r"push needs an array with an axis of steps, .* got shape \(3,\)"):
        stream.push([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"input 'x' must have shape \(2, 3, 3\), got \(2, 3\)"):
        stream.push(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0, 5], r"ids of 'x' must be from 0 to 4, got 5 at position \(1,"),
        ([-1, 0], r"ids of 'x' must be from 0 to 4, got -1 at position \(0,"),
        ([2**40, 0], "ids of 'x' must be from 0 to 4, got 1099511627776"),
        (np.array([2**63, 0], np.uint64), "ids of 'x' must be from 0 to 4"),
        ([0.0, 1.0], "input 'x' must be integers, got dtype float64"),
        ([0], r"input 'x' must have shape \(2,.*\), got \(1,"),
    ],
    ids=str,
)
@pytest.mark.parametrize("chunk", [False, True])
def test_ids(id_stream, ids, message, chunk):
    id_stream([1, 2])
    before = id_stream.state
    if chunk:
        ids = np.stack([np.zeros_like(ids), np.asarray(ids)], 1)
    with pytest.raises(ValueError, match=message):
        id_stream.push(ids) if chunk else id_stream(ids)
    for name, state in id_stream.state.items():
        np.testing.assert_array_equal(state, before[name])


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (
            np.zeros((2, 3), FLOATS),
            r"out must be a writable float32 array of shape \(2, 2\), got float32 of .*\(2, 3\)",
        ),
        (np.zeros((2, 2)), r"out must be a writable float32 array of shape \(2, 2\), got float64"),
        ([[0, 0], [0, 0]], "out must be a writable float32 array .* got list"),
        (np.broadcast_to(np.float32(0), (2, 2)), "out must be a writable float32 array"),
    ],
    ids=["shape", "dtype", "list", "read-only"],
)
def test_out(stream, out, message):
    before = stream.state
    with pytest.raises(ValueError, match=message):
        stream(np.zeros((2, 3), FLOATS), out=out)
    for name, state in stream.state.items():
        np.testing.assert_array_equal(state, before[name])


def test_out_with_another_order_of_axes(stream):
    with pytest.raises(ValueError, match="the features of out must be aligned and contiguous"):
        stream.push(np.zeros((2, 5, 3)), out=np.zeros((2, 2, 5), FLOATS).swapaxes(1, 2))


def test_several_inputs_need_a_tuple():
    stream = Stream(branched())
    with pytest.raises(ValueError, match=r"x must be a tuple of 2 arrays \(ids, x\), got an array of shape \(1, 4\)"):
        stream(np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"out must be a tuple of 4 arrays \(y, last, x, last\), got an array"):
        stream(([0], np.zeros((1, 4))), out=np.zeros(3))


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "2", True, None])
def test_batch_size(batch_size):
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        Stream(stack(), batch_size)


@pytest.mark.parametrize("rows", [2, [-1], [0.5], [True, False], "a"])
def test_rows(stream, rows):
    with pytest.raises(ValueError, match="rows must be integers from 0 to 1, got"):
        stream.reset(rows=rows)


def test_states(stream):
    states = stream.state
    other = Stream(stack("gru", 4), 2).state
    with pytest.raises(
        ValueError, match=r"layer_1/h \(2, 4\), layer_1/c \(2, 4\), .*; got layer_1/h \(2, 4\), layer_2/h"
    ):
        stream.state = other
    with pytest.raises(ValueError, match=r"got layer_1/h \(3, 4\)"):
        stream.state = Stream(stack("lstm", 4), 3).state
    with pytest.raises(ValueError, match="got no states"):
        stream.state = {}
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="state 'layer_1/c' must contain finite real numbers"):
            stream.state = {**states, "layer_1/c": np.full((2, 4), value)}
    for name, state in stream.state.items():
        np.testing.assert_array_equal(state, states[name])


def test_program_that_looks_ahead():
    program = stack("lstm", 4, num_layers=1, reverse=True)
    with pytest.raises(
        ValueError, match="streaming is not supported for program 'stack': 'layer_1' needs the whole sequence"
    ):
        Stream(program)
    reverse = op.Reverse("reverse", ("x",), 3)
    with pytest.raises(ValueError, match="'reverse' needs the whole sequence"):
        Stream(Program("p", (op.Input("x", 3),), (reverse,), ("reverse",), {}))


def test_program_of_a_batch_size():
    head = op.Dense("y", ("x",), 3, "w")
    program = Program("p", (op.Input("x", 3),), (head,), ("y",), {"w": draw(3, 3)}, batch_size=4)
    assert Stream(program, 4)(np.zeros((4, 3))).shape == (4, 3)
    with pytest.raises(ValueError, match="batch_size must be 4, for which program 'p' was lowered, got 1"):
        Stream(program)


def test_refresh_of_a_program(stream):
    with pytest.raises(ValueError, match=r"refresh\(\) is not supported for a stream of a Program"):
        stream.refresh()


def test_stream_that_another_thread_uses(native, stream):
    stream._runtime.structure.busy = 1
    with pytest.raises(RuntimeError, match="the stream is in use by another thread; create one stream per thread"):
        stream(np.zeros((2, 3)))
