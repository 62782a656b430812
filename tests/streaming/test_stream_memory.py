"""Memory of streams: with `out`, steps and chunks allocate nothing, in Python and in C."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from stream_programs import Everything, branched, cell_program, random_inputs, stack

import setup as build
from deeprnn_keras import Stream

pytestmark = pytest.mark.usefixtures("native")

PROGRAMS = {"lstm": stack(), "ids": stack(ids=True), "cell": cell_program(Everything(9)), "branched": branched()}


def calls(program, batch_size=2, steps=300):
    """Return functions without arguments that read a step and a chunk, with given results."""
    stream = Stream(program, batch_size)
    inputs = random_inputs(program, batch_size, steps)
    chunk_out = [np.empty((batch_size, steps, program.widths[name]), np.float32) for name in program.outputs]
    first, step_out = (
        [np.ascontiguousarray(x[:, 0]) for x in inputs],
        [np.ascontiguousarray(y[:, 0]) for y in chunk_out],
    )
    x, step_x = (inputs[0], first[0]) if len(inputs) == 1 else (tuple(inputs), tuple(first))
    y, step_y = (chunk_out[0], step_out[0]) if len(chunk_out) == 1 else (tuple(chunk_out), tuple(step_out))
    return lambda: stream(step_x, out=step_y), lambda: stream.push(x, out=y)


@pytest.mark.parametrize("name", PROGRAMS)
def test_python_allocates_nothing(name):
    for call in calls(PROGRAMS[name]):
        tracemalloc.start()
        for _ in range(100):  # fills the free lists of the interpreter
            call()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(100):
            call()
        after, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after - before < 512, name
        assert peak - before < 4_096, name  # references to arrays, no copy of one


COUNTER = """
#include <stdlib.h>
#include <stdatomic.h>
void *__libc_malloc(size_t); void *__libc_calloc(size_t, size_t); void *__libc_realloc(void *, size_t);
static atomic_long count;
long allocations(void) { return count; }
void *malloc(size_t n) { count++; return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { count++; return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { count++; return __libc_realloc(p, n); }
"""
COUNT = """
import ctypes, sys
from test_stream_memory import PROGRAMS, calls
count = ctypes.CDLL(sys.argv[1]).allocations
for name, program in PROGRAMS.items():
    for call in calls(program):
        for _ in range(20):
            call()
        before = count()
        for _ in range(200):
            call()
        print(name, count() - before)
"""


@pytest.mark.slow
def test_c_allocates_nothing(tmp_path):
    if not sys.platform.startswith("linux"):
        pytest.skip("counts the allocations of glibc")
    (tmp_path / "counter.c").write_text(COUNTER)
    library = tmp_path / "counter.so"
    build.run_compiler(
        [*build.compiler(), "-shared", "-fPIC", str(tmp_path / "counter.c"), "-o", str(library)], "the counter"
    )
    path = os.pathsep.join([*sys.path, os.environ["PYTHONPATH"]])
    environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": path}
    process = subprocess.run(
        [sys.executable, "-c", COUNT, str(library)], env=environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    counts = [int(line.split()[1]) for line in process.stdout.splitlines()]
    assert counts == [0] * len(counts), process.stdout


def resident_kilobytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


@pytest.mark.slow
def test_million_steps_do_not_grow():
    if not Path("/proc/self/statm").exists():
        pytest.skip("reads the resident memory from /proc")
    stream, x = Stream(stack("lstm", 8)), np.ones((1, 5), np.float32)
    for _ in range(1_000):
        stream(x)
    before = resident_kilobytes()
    for _ in range(1_000_000):
        y = stream(x)
    assert resident_kilobytes() - before < 1_024
    assert np.isfinite(y).all()
