"""Run the tutorials at a small scale."""

import runpy

import matplotlib.pyplot as plt
import pytest
from source_files import ROOT

TUTORIALS = sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py"))

LONG = ("02", "03", "04", "05", "09", "12")  # they take more than 30 s, or read a package that .ci/long installs


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=pytest.mark.long if path.stem[:2] in LONG else pytest.mark.slow)
        for path in TUTORIALS
    ],
)
def test_tutorial_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORIAL_SCALE", "0.01")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    plt.close("all")
    assert any(tmp_path.glob("*.png")), "no figure was saved"
