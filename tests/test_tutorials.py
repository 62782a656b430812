"""The tutorials run, at a scale where their figures mean nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).resolve().parents[1] / "tutorials").glob("[0-9][0-9]_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial_runs(path, tmp_path):
    quick = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}  # much is compiled here and little computed
    environment = {**os.environ, "TUTORIAL_SCALE": "0.01", "MPLBACKEND": "Agg", **quick}
    done = subprocess.run([sys.executable, str(path)], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert any(tmp_path.glob("*.png")), "the tutorial draws a picture"
