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


def run(directory, *arguments):
    return subprocess.run([sys.executable, *arguments], cwd=directory, capture_output=True, text=True)


@pytest.fixture
def checkout(tmp_path):
    for directory in ("deeprnn_keras", "zoo", "tests"):
        shutil.copytree(ROOT / directory, tmp_path / directory, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


@pytest.mark.slow
def test_cell_in_one_file(checkout):
    (checkout / "minimal_gated.py").write_text(EXAMPLES["minimal_gated.py"], encoding="utf-8")
    done = run(checkout, "minimal_gated.py")
    assert done.stdout.splitlines()[-1:] == ["equal to NumPy"], done.stderr[-3000:]


@pytest.mark.slow
def test_model_in_one_file(checkout):
    code = EXAMPLES["zoo/elman.py"]
    (checkout / "zoo" / "elman.py").write_text(code, encoding="utf-8")
    (name,) = re.findall(r'name="(\w+)"', code)
    done = run(checkout, "-m", "pytest", "-n0", "-m", "", "tests/test_zoo.py", "-k", name, "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout[-3000:]
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) >= 6, done.stdout[-500:]


def test_files_of_the_map_exist():
    section = CONTRIBUTING.split("## Map of the code")[1].split("\n## ")[0]
    paths = re.findall(r"`((?:\w+/)*\w+\.py)`", section)
    assert len(paths) > 15
    for path in paths:
        assert any((home / path).is_file() for home in (ROOT / "deeprnn_keras", ROOT)), path
