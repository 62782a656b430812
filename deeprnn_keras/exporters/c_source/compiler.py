"""The C compiler of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

COMPILERS = ("cc", "gcc", "clang")


def find_compiler() -> str | None:
    """Return the path of a C compiler: the one that CC names, or the first of cc, gcc, and clang; None without one."""
    names = (os.environ["CC"],) if os.environ.get("CC") else COMPILERS
    return next((path for path in map(shutil.which, names) if path is not None), None)


def compile_shared(source: Path, library: Path, options: Sequence[str] = ()) -> None:
    """Compile a C file into a shared library.

    Raises:
        RuntimeError: If no compiler is found, or it fails.
    """
    compiler = find_compiler()
    if compiler is None:
        raise RuntimeError(f"no C compiler is found: {missing_compiler()}")
    command = [compiler, "-O3", "-shared", "-fPIC", *options, str(source), "-o", str(library)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{process.stderr.strip()[:2000]}")


def missing_compiler() -> str:
    """Return what to do without a compiler."""
    names = os.environ.get("CC") or ", ".join(COMPILERS)
    return f"none of {names} is in PATH; install one, set the environment variable CC, or pass verify=False"
