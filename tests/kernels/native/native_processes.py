"""`run_python`: run a program in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def run_python(program: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program that can import the modules of this directory."""
    path = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ["PYTHONPATH"]])
    environment = os.environ | environment | {"PYTHONPATH": path}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
