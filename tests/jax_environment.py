"""`python_with_jax`: an interpreter with this package's dependencies and JAX, which the tests' own need not have."""

import importlib.util
import subprocess
import sys
import tomllib
import venv

from source_files import ROOT

JAX = "jax==0.10.2"


def python_with_jax(directory):
    """Return the path of an interpreter that has JAX: this one, or that of an environment created in `directory`."""
    if importlib.util.find_spec("jax") is not None:
        return sys.executable
    venv.create(directory, with_pip=True)
    python = str(directory / "bin" / "python")
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    subprocess.run([python, "-m", "pip", "install", "-q", *dependencies, JAX], check=True)
    return python
