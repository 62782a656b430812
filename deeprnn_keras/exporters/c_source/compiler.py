"""The C compiler of this machine."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

COMPILERS = ("cc", "gcc", "clang")


def find_compiler() -> list[str] | None:
    """Return the command of a C compiler: that of CC, or the first of cc, gcc, and clang; None without one."""
    commands = [shlex.split(os.environ["CC"])] if os.environ.get("CC") else [[name] for name in COMPILERS]
    return next((command for command in commands if shutil.which(command[0]) is not None), None)


def compile_shared(sources: Sequence[Path], library: Path, options: Sequence[str] = ()) -> None:
    """Compile C files into a shared library.

    Raises:
        RuntimeError: If no compiler is found, or it fails.
    """
    compiler = find_compiler()
    if compiler is None:
        raise RuntimeError(f"no C compiler is found: {missing_compiler()}")
    command = [*compiler, "-O3", "-shared", "-fPIC", *options, *map(str, sources), "-o", str(library)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)} failed:\n{process.stderr.strip()[:2000]}")


def missing_compiler() -> str:
    """Return what to do without a compiler."""
    names = os.environ.get("CC") or ", ".join(COMPILERS)
    return f"none of {names} is in PATH; install one, set the environment variable CC, or pass verify=False"
