"""The native library together with a driver in C, compiled with the sanitizers of the compiler."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from source_files import ROOT

import setup as build

DRIVER = Path(__file__).with_name("driver.c")
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-psabi"]  # the last: vectors are arguments of inlined functions only
DEBUG = ["-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
OPTIONS = {"address,undefined": ["-O1"]}  # -O3 takes minutes to compile; under ThreadSanitizer it runs twice as fast


def build_driver(sanitizer: str, directory: Path) -> Path:
    """Compile the library and the driver with a sanitizer, such as "address,undefined", into one program.

    Skip the test if there is no compiler or if it lacks the sanitizer.
    """
    try:
        cc = build.compiler()
    except build.NotBuiltError as error:
        pytest.skip(str(error))
    cc += [f"-fsanitize={sanitizer}", *DEBUG]
    _check_sanitizer(cc, sanitizer, directory)
    options = [*build.FLAGS, *OPTIONS.get(sanitizer, [])]
    cc += [*WARNINGS, f"-I{ROOT / build.SOURCES}"]
    objects = build.compile_objects(cc, [*sorted((ROOT / build.SOURCES).glob("*.c")), DRIVER], directory, options)
    program = directory / "driver"
    build.run_compiler([*cc, "-pthread", *objects, "-lm", "-o", str(program)], "linking")
    return program


def _check_sanitizer(cc: list[str], sanitizer: str, directory: Path) -> None:
    source, program = directory / "empty.c", directory / "empty"
    source.write_text("int main(void) { return 0; }\n")
    try:
        build.run_compiler([*cc, str(source), "-o", str(program)], "the sanitizer")
    except build.NotBuiltError as error:
        pytest.skip(f"the compiler does not support -fsanitize={sanitizer}: {error}")
    subprocess.run([program], check=True)
