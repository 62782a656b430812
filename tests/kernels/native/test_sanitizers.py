"""The C code under AddressSanitizer, UndefinedBehaviorSanitizer, and ThreadSanitizer."""

import os
import subprocess

import pytest
from sanitized import build_driver

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", params=["address,undefined", "thread"])
def driver(request, tmp_path_factory):
    return build_driver(request.param, tmp_path_factory.mktemp("driver"))


@pytest.mark.parametrize("mode", ["sizes", "threads", "callers", "fork", "one_cpu", "programs", "samples", "unitwise"])
def test_driver_finds_no_error(driver, mode):
    environment = {**os.environ, "TSAN_OPTIONS": "die_after_fork=0"}  # the children of a fork start threads, too
    process = subprocess.run([driver, mode], capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr[-4000:]
