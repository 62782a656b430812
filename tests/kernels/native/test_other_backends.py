"""The native implementation on JAX and PyTorch; the cases, in backend_cases.py, run in a process of that backend."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jax_environment import python_with_jax
from source_files import ROOT

from deeprnn_keras.kernels.native import library

CASES = Path(__file__).with_name("backend_cases.py")

pytestmark = pytest.mark.skipif(library.unavailable_reason() is not None, reason="the native library was not built")


@functools.cache
def errors(backend, python=sys.executable):
    """Return {case: error or ""} of all cases."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    process = subprocess.run([python, CASES], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_native_code_on_an_installed_backend(backend):
    pytest.importorskip(backend)
    failed = {case: error for case, error in errors(backend).items() if error}
    assert not failed, "\n".join(f"{case}: {error}" for case, error in failed.items())


@pytest.mark.long
def test_native_code_on_jax_in_an_environment_of_its_own(tmp_path):
    python = python_with_jax(tmp_path)
    failed = {case: error for case, error in errors("jax", python).items() if error}
    assert not failed, "\n".join(f"{case}: {error}" for case, error in failed.items())
