"""The examples of CONTRIBUTING.md, followed literally; that of a task family is in test_task_package.py."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- example: (\S+) -->\n```python\n(.*?)```", CONTRIBUTING, re.DOTALL))


# one process for both examples, because loading TensorFlow takes seconds
RUN = """
import runpy, sys, pytest
runpy.run_path("minimal_gated.py", run_name="__main__")
sys.exit(pytest.main(["-n0", "-m", "", "tests/test_zoo.py", "-k", sys.argv[1], "-p", "no:cacheprovider"]))
"""


@pytest.fixture
def checkout(tmp_path):
    for directory in ("deeprnn_keras", "zoo", "tests"):
        shutil.copytree(ROOT / directory, tmp_path / directory, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


@pytest.mark.slow
def test_cell_and_model_in_one_file_each(checkout):
    for path in ("minimal_gated.py", "zoo/elman.py"):
        (checkout / path).write_text(EXAMPLES[path], encoding="utf-8")
    (name,) = re.findall(r'name="(\w+)"', EXAMPLES["zoo/elman.py"])
    done = subprocess.run([sys.executable, "-c", RUN, name], cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.startswith("equal to NumPy\n"), done.stdout
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) >= 6, done.stdout[-500:]


def test_files_of_the_map_exist():
    section = CONTRIBUTING.split("## Map of the code")[1].split("\n## ")[0]
    paths = re.findall(r"`((?:\w+/)*\w+\.py)`", section)
    assert len(paths) > 15
    for path in paths:
        assert any((home / path).is_file() for home in (ROOT / "deeprnn_keras", ROOT)), path
