"""The type checker passes over the package and the zoo."""

import os
import subprocess
import sys

import pytest
from source_files import ROOT


@pytest.mark.slow  # the hook before a commit runs it, too
def test_types_pass():
    done = subprocess.run(
        [ROOT / ".ci" / "types"], env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
