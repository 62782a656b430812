"""Threads of Python, limits on the number of threads, and forks."""

import os
import sys
import threading

import numpy as np
import pytest
from native_cases import CELLS, random_case, run
from native_processes import run_python

from deeprnn_keras.kernels.native import library
from deeprnn_keras.kernels.native.sequences import Layer

pytestmark = pytest.mark.usefixtures("native")

LARGE = (32, 6, 40, 136)  # enough work for several threads


def assert_all_equal(actual, expected):
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


def test_eight_python_threads_at_once(set_threads):
    set_threads(2)
    cases = [random_case(Layer(cell), size, "any") for cell in CELLS for size in (LARGE, (5, 9, 3, 12))]
    expected = [run(case) for case in cases]
    failures = []

    def call(index):
        try:
            for _ in range(5):
                assert_all_equal(run(cases[index]), expected[index])
        except AssertionError as error:
            failures.append(error)

    threads = [threading.Thread(target=call, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# === Limits ===


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({}, 4),
        ({"OMP_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "1,4"}, 1),
        ({"OMP_NUM_THREADS": "9"}, 4),
        ({"OMP_NUM_THREADS": ""}, 4),
        ({"OMP_NUM_THREADS": "0"}, 4),
        ({"OMP_NUM_THREADS": "many"}, 4),
        ({"TF_NUM_INTRAOP_THREADS": "3"}, 3),
        ({"TF_NUM_INTRAOP_THREADS": "3", "OMP_NUM_THREADS": "2"}, 2),
    ],
)
def test_environment_limits_threads(monkeypatch, variables, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(4), raising=False)
    monkeypatch.setattr(library, "_tensorflow_limit", lambda: 0)
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert library.threads() == expected


def test_threads_of_tensorflow_and_of_the_pool_limit_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(100), raising=False)
    monkeypatch.setattr(library, "_tensorflow_limit", lambda: 7)
    assert library.threads() == 7
    monkeypatch.setattr(library, "_tensorflow_limit", lambda: 0)
    assert library.threads() == library.MAX_THREADS


COUNT_THREADS = """
import os, sys
import numpy as np
if {cpu}: os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
from deeprnn_keras.kernels.native import library
from native_cases import random_case, run
from deeprnn_keras.kernels.native.sequences import Layer
before = len(os.listdir("/proc/self/task"))
for cell in ("rnn", "gru", "gru_reset_before", "lstm"):
    run(random_case(Layer(cell), {size}))
print(library.threads(), len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize(
    "cpu, variables", [(True, {}), (False, {"OMP_NUM_THREADS": "1"})], ids=["affinity", "variable"]
)
def test_one_thread_starts_no_other(cpu, variables):
    process = run_python(COUNT_THREADS.format(cpu=cpu, size=LARGE), **variables)
    assert process.stdout.split() == ["1", "0"], process.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.skipif(library.threads() < 2, reason="one core")
def test_small_calls_start_no_thread():
    process = run_python(COUNT_THREADS.format(cpu=False, size=(4, 3, 5, 8)))
    assert process.stdout.split() == [str(library.threads()), "0"], process.stderr


# === Forks ===

FORK = """
import os, sys, threading, time
import numpy as np
from deeprnn_keras.kernels.native import library
from deeprnn_keras.kernels.native.sequences import Layer
from native_cases import random_case, run
library.threads = lambda: 3
sizes = (32, 6, 40, 136), (5, 9, 3, 12)
cases = [random_case(Layer(cell), size, "any") for cell in ("lstm", "gru") for size in sizes]
expected = [run(case) for case in cases]

def check():
    return all(np.array_equal(a, e[k]) for case, e in zip(cases, expected) for k, a in run(case).items())

running = True
def work():
    while running:
        check()
threads = [threading.Thread(target=work) for _ in range(3)]  # calls are in progress when the process forks
for thread in threads: thread.start()
children = []
for _ in range({forks}):
    time.sleep(0.01)
    child = os.fork()
    if child == 0:
        os._exit(0 if check() and check() else 1)
    children.append(child)
codes = [os.waitpid(child, 0)[1] for child in children]
running = False
for thread in threads: thread.join()
assert check()
print(set(codes))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("forks", [3, pytest.param(200, marks=pytest.mark.long)])
def test_forked_children_compute_the_same(forks):
    process = run_python(FORK.format(forks=forks), timeout=300)
    assert process.stdout.split() == ["{0}"], process.stderr
