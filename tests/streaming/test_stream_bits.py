"""Bit-equality of streams: steps and chunks, threads, rows of the batch, and streams that run at the same time."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from stream_programs import GATES, Everything, branched, cell_program, random_inputs, stack

from deeprnn_keras import Stream
from deeprnn_keras.streaming import native as native_runtime

pytestmark = pytest.mark.usefixtures("native")

PROGRAMS = {
    **{cell: stack(cell, 130, inputs=70) for cell in GATES},
    "dilated": stack("lstm", 33, rate=3),
    "ids": stack("gru", 40, ids=True),
    "cell": cell_program(Everything(70), 9),
    "branched": branched(),
}
CHUNKS = (1, 2, 9, 40)


def run(program, batch_size, inputs, lengths):
    """Return the outputs of chunks of given lengths, and the states."""
    stream = Stream(program, batch_size)
    outputs, start = [], 0
    for length in lengths:
        chunk = [x[:, start : start + length] for x in inputs]
        results = stream.push(chunk[0] if len(chunk) == 1 else tuple(chunk))
        outputs.append(results if isinstance(results, tuple) else (results,))
        start += length
    arrays = [np.concatenate(parts, 1) for parts in zip(*outputs, strict=True)]
    return [*arrays, *stream.state.values()]


def assert_equal(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("batch_size", [1, 7, 40])
@pytest.mark.parametrize("name", PROGRAMS)
def test_chunks_threads_and_steps(monkeypatch, set_threads, name, batch_size):
    program, steps = PROGRAMS[name], sum(CHUNKS)
    inputs = random_inputs(program, batch_size, steps)
    expected = run(program, batch_size, inputs, [1] * steps)
    monkeypatch.setattr(native_runtime, "SMALLEST_SHARED", 0)
    for threads in (1, 2, 3):
        set_threads(threads)
        assert_equal(run(program, batch_size, inputs, CHUNKS), expected)
    monkeypatch.setattr(native_runtime, "CHUNK_FLOATS", 1)
    assert_equal(run(program, batch_size, inputs, [steps]), expected)


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "cell"])
def test_rows_do_not_depend_on_each_other(name):
    program = PROGRAMS[name]
    inputs = random_inputs(program, 9, 6)
    whole = Stream(program, 9).push(inputs[0])
    for rows in (slice(0, 1), slice(2, 4), slice(1, 9)):
        part = inputs[0][rows]
        np.testing.assert_array_equal(Stream(program, len(part)).push(part), whole[rows])


def test_step_in_place():
    """The array of the inputs may receive the outputs."""
    program = stack("lstm", 12, inputs=4, outputs=4)
    inputs = random_inputs(program, 3, 300)[0]
    expected = Stream(program, 3).push(inputs)
    stream, array = Stream(program, 3), inputs.copy()
    assert stream.push(array, out=array) is array
    np.testing.assert_array_equal(array, expected)


def test_arrays_with_any_order_of_axes():
    program = stack("lstm", 12, inputs=4)
    inputs = random_inputs(program, 3, 10)[0]
    expected = Stream(program, 3).push(inputs)
    results = np.zeros((3, 20, 5), np.float32)[:, ::2, :3]
    for one in (np.asfortranarray(inputs), inputs[::-1][::-1], inputs.astype(np.float64), inputs.tolist()):
        np.testing.assert_array_equal(Stream(program, 3).push(one, out=results), expected)
    steps = Stream(program, 3)
    for t in range(10):
        np.testing.assert_array_equal(steps(np.asfortranarray(inputs[:, t])), expected[:, t])


def test_streams_in_eight_threads(monkeypatch, set_threads):
    monkeypatch.setattr(native_runtime, "SMALLEST_SHARED", 0)
    set_threads(2)
    program = PROGRAMS["lstm"]
    inputs = [random_inputs(program, 2, 50, seed)[0] for seed in range(8)]
    expected = [Stream(program, 2).push(one) for one in inputs]

    def read(x):
        stream = Stream(program, 2)
        return np.stack([stream(step) for step in np.moveaxis(x, 1, 0)], 1)

    with ThreadPoolExecutor(8) as pool:
        assert_equal(list(pool.map(read, inputs)), expected)


FORK = """
import os, sys, threading
import numpy as np
from stream_programs import random_inputs, stack
from deeprnn_keras import Stream
from deeprnn_keras.streaming import native
native.SMALLEST_SHARED = 0
native.library.threads = lambda: 2
program = stack("lstm", 64)
x = random_inputs(program, 1, 200)[0]
expected = Stream(program).push(x)
stop = threading.Event()
def read():
    stream = Stream(program)
    while not stop.is_set():
        stream.push(x)
thread = threading.Thread(target=read)
thread.start()
codes = []
for _ in range(5):
    child = os.fork()
    if not child:
        os._exit(0 if (Stream(program).push(x) == expected).all() else 3)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
thread.join()
sys.exit(any(codes))
"""


def test_forked_children_stream():
    path = os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]])
    subprocess.run([sys.executable, "-c", FORK], env={**os.environ, "PYTHONPATH": path}, check=True, timeout=60)


def test_streams_of_a_program_share_its_weights():
    program = stack("lstm", 12)
    first, second = Stream(program), Stream(program, 5)
    assert first._runtime.encoded is second._runtime.encoded
