"""CONTRIBUTING.md, followed literally: a model in one file passes the walk over all entries."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_model_in_one_file(tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    examples = dict(re.findall(r"<!-- example: (\S+) -->\n```python\n(.*?)```", text, re.DOTALL))
    path = "zoo/elman.py"  # the other example is a package of its own: test_task_package.py
    code = examples[path]
    copy = tmp_path / "checkout"
    for directory in ("deeprnn_keras", "zoo", "tests"):
        shutil.copytree(ROOT / directory, copy / directory, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    (copy / path).write_text(code, encoding="utf-8")
    (name,) = re.findall(r'name="(\w+)"', code)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n0",
        "-m",
        "",
        "tests/test_zoo.py",
        "-k",
        name,
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) >= 6, done.stdout[-500:]
