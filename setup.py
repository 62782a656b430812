"""Build of the native library of the recurrent kernels; pyproject.toml contains everything else.

The library is optional. If the build fails, the installation succeeds, and `not_built.txt` beside the place of the
library contains the reason.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

NAME = "deeprnn_keras.kernels.native.libdeeprnn"
REASON = "not_built.txt"
SOURCES = Path("deeprnn_keras/kernels/native/src")
FLAGS = [
    "-fno-fast-math",  # before the others: cancels a -ffast-math in CFLAGS, which would break the exponential
    "-O3",
    "-std=gnu11",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fPIC",
    "-pthread",
    "-fvisibility=hidden",
]
INSTRUCTION_SETS = {  # kernels.c is compiled once for each; the library selects one when it is loaded
    "avx512": ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mavx2", "-mfma", "-mprefer-vector-width=512"],
    "avx2": ["-mavx2", "-mfma"],
    "portable": [],
}


class NotBuiltError(Exception):
    """The native library was not built; the message is the reason."""


def compiler() -> list[str]:
    """Return the command of the C compiler with the flags of the environment: CC, or the first one on the PATH.

    Raises:
        NotBuiltError: There is no compiler.
    """
    if os.name == "nt":
        raise NotBuiltError("the native library is not supported on Windows")
    commands = [shlex.split(os.environ["CC"])] if os.environ.get("CC") else [["cc"], ["gcc"], ["clang"]]
    found = [command for command in commands if shutil.which(command[0])]
    if not found:
        raise NotBuiltError(f"no C compiler was found at installation ({commands[0][0]}: command not found)")
    variables = ["CFLAGS", "ARCHFLAGS"] if sys.platform == "darwin" else ["CFLAGS"]
    return found[0] + [flag for name in variables for flag in shlex.split(os.environ.get(name, ""))]


def run_compiler(command: Sequence[str], purpose: str) -> str:
    """Run a command of the compiler and return its output.

    Raises:
        NotBuiltError: The command failed; the message contains the first line with an error.
    """
    try:
        process = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise NotBuiltError(f"{purpose} failed at installation: {error}") from error
    if process.returncode:
        lines = [line.strip() for line in process.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if "error:" in line and not line.startswith("collect2")]
        first = (errors or lines or [f"exit status {process.returncode}"])[0]
        raise NotBuiltError(f"{purpose} failed at installation with {command[0]}: {first}")
    return process.stdout


def instruction_sets(cc: list[str]) -> list[str]:
    """Return the instruction sets to compile for the target of a compiler."""
    macros = run_compiler([*cc, "-dM", "-E", "-x", "c", os.devnull], "the C compiler")
    return list(INSTRUCTION_SETS) if "__x86_64__" in macros else ["portable"]


def compile_objects(
    cc: list[str], sources: Sequence[Path], directory: Path, options: Sequence[str] = FLAGS
) -> list[str]:
    """Compile the sources into a directory, kernels.c once for each instruction set, and return the object files.

    Raises:
        NotBuiltError: The compiler failed.
    """
    names = instruction_sets(cc)
    macros = [f"-DHAVE_{name.upper()}" for name in names if name != "portable"]
    variants = [(f"kernels_{name}", [f"-DISA={name}", *INSTRUCTION_SETS[name]]) for name in names]
    commands: dict[str, list[str]] = {}
    for source in sources:
        for stem, flags in variants if source.stem == "kernels" else [(source.stem, macros)]:
            target = str(directory / f"{stem}.o")
            commands[target] = [*cc, *options, *flags, "-c", str(source), "-o", target]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda target: run_compiler(commands[target], f"compiling {Path(target).stem}"), commands))
    return list(commands)


def build_library(sources: Sequence[Path], directory: Path, library: Path) -> None:
    """Compile the sources and link the library.

    Raises:
        NotBuiltError: There is no compiler, or it failed.
    """
    cc = compiler()
    directory.mkdir(parents=True, exist_ok=True)
    objects = compile_objects(cc, sources, directory)
    options = shlex.split(os.environ.get("LDFLAGS", ""))
    run_compiler([*cc, "-shared", "-pthread", *options, *objects, "-lm", "-o", str(library)], "linking")


class BuildLibrary(build_ext):
    """Build of one library without a Python ABI, or of the file with the reason why there is none."""

    def initialize_options(self) -> None:
        """Set the state before a build."""
        super().initialize_options()
        self.not_built = False

    def get_ext_filename(self, fullname: str) -> str:
        """Return the file that the build creates, relative to the root of the packages."""
        library = Path(*fullname.split(".")).with_suffix(".so")
        return str(library.with_name(REASON) if self.not_built else library)

    def build_extension(self, ext: Extension) -> None:
        """Build the library, or write the reason why the build failed.

        An earlier library is always replaced, since it may be that of another compiler or of other flags.
        """
        library = Path(self.get_ext_fullpath(ext.name))
        library.parent.mkdir(parents=True, exist_ok=True)
        remove_outputs(library.parent)
        try:
            build_library([Path(source) for source in ext.sources], Path(self.build_temp, "native"), library)
        except NotBuiltError as error:
            self.not_built = True
            self.warn(f"the native library was not built: {error}")
            library.with_name(REASON).write_text(f"{error}\n", encoding="utf-8")

    def copy_extensions_to_source(self) -> None:
        """Copy the result into the checkout for an editable installation."""
        remove_outputs(SOURCES.parent)
        super().copy_extensions_to_source()


def remove_outputs(directory: Path) -> None:
    """Remove the results of an earlier build."""
    for name in (REASON, f"{NAME.rpartition('.')[2]}.so"):
        (directory / name).unlink(missing_ok=True)


class PlatformWheel(bdist_wheel):
    """Wheel for every Python version, since the library has no Python ABI; for any platform if it was not built."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tag of the interpreter, of the ABI, and of the platform."""
        *_, tag = super().get_tag()
        built = Path(self.bdist_dir, *NAME.split(".")).with_suffix(".so").exists()
        tag = tag.replace("universal2", platform.machine())  # the library is built for one architecture
        return "py3", "none", tag if built else "any"


if __name__ == "__main__":
    sources, headers = ([path.as_posix() for path in sorted(SOURCES.glob(f"*.{suffix}"))] for suffix in "ch")
    setup(
        ext_modules=[Extension(NAME, sources, depends=headers)],
        cmdclass={"build_ext": BuildLibrary, "bdist_wheel": PlatformWheel},
    )
