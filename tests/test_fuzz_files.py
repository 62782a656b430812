"""Damaged and crafted files of every format end in an error that names the file, or load.

FUZZ_FILES is the number of files over all formats, FUZZ_FIRST the number of the first one.
"""

import collections
import json
import os
import subprocess
import sys

import pytest
from fuzzed_formats import FORMATS, SECONDS_PER_FILE
from source_files import ROOT

FILES = int(os.environ.get("FUZZ_FILES", "2600"))
FIRST = int(os.environ.get("FUZZ_FIRST", "0"))


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory and its measurement")
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_refused_by_name_or_load(name, tmp_path, record_property):
    count = -(-FILES // len(FORMATS))
    command = [sys.executable, "-m", "fuzzed_formats", name, str(FIRST), str(count), str(tmp_path)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "interop")))
    timeout = 120 + SECONDS_PER_FILE * count
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, cwd=tmp_path)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"ended with {done.returncode} at {lines[-1:]}: {done.stderr[-2000:]}"
    results = [line for line in lines if "outcome" in line]
    wrong = [line for line in results if line["outcome"] not in ("loaded", "refused", "recovered") or line["problems"]]
    counts = collections.Counter(line["outcome"] for line in results)
    record_property("outcomes", json.dumps(counts))
    assert not wrong, f"{len(wrong)} of {counts}: {json.dumps(wrong[:5], indent=1)}"
    assert len(results) == count and counts["refused"] + counts["recovered"] > count // 10 - 1, counts
