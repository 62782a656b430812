"""Packaging: installed files, names of the stubs, lazy imports, build of the native library, and the zoo in a wheel."""

import importlib
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from source_files import MODULES, ROOT, STUBS, module_name

import setup as build

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_package_list_is_complete():
    directories = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == directories
    for path in MODULES.values():
        assert (path.parent / "__init__.py").exists(), path


def test_zoo_is_importable_in_a_checkout_without_an_editable_install():
    code = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in str(f).lower()]\n"
        "from deeprnn_keras import zoo; print(zoo.count_params('zaremba_medium'))"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.stdout.strip() == "19775200", process.stderr


@pytest.mark.parametrize("directory", STUBS, ids=lambda directory: directory.name)
def test_stubs_equal_the_exported_names(directory):
    package = importlib.import_module(module_name(directory / "__init__.py"))
    assert package.__all__ == dir(package) == sorted(STUBS[directory])
    for name, module in STUBS[directory].items():
        assert getattr(package, name) is not None
        assert name != module.partition(".")[0], f"importing {module} would shadow the name {name}"


def test_importing_the_package_imports_no_framework():
    code = (
        "import sys, deeprnn_keras as d\n"
        "def loaded(): return [name for name in ('keras', 'tensorflow') if name in sys.modules]\n"
        "d.data, d.training, d.tuning, d.audit, d.generation, d.training.Recipe, d.data.TextCorpus\n"
        "print(loaded(), len(d.zoo.list_models()) > 20, 'HyperDeepRNN' in dir(d.tuning))\n"
        "public = [name for name in dir(d) if not name.startswith('_')]\n"
        "print(public == dir(d) and len(public) <= 55, {'zoo', 'DeepRNN'} < set(public))"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.stdout.split() == ["[]", "True", "True", "True", "True"], process.stdout + process.stderr


def test_unknown_public_name_is_an_attribute_error():
    package = importlib.import_module("deeprnn_keras")
    with pytest.raises(AttributeError, match=r"no attribute 'DeepRNM'$"):
        package.DeepRNM  # noqa: B018
    with pytest.raises(AttributeError, match="it is now 'AffineMap'"):
        package.Map  # noqa: B018
    with pytest.raises(AttributeError, match=r"use deeprnn_keras\.data\.SeriesSplit"):
        package.SeriesSplit  # noqa: B018


def fake_compiler(directory, monkeypatch, *lines):
    """Set CC to a shell script of these lines, which logs its arguments, and return the log."""
    calls, script = directory / "calls", directory / "compiler"
    script.write_text("\n".join(["#!/bin/sh", f'echo "$@" >> {calls}', *lines]))
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    return calls


SOURCES = [Path(f"{name}.c") for name in ("dispatch", "kernels", "pool")]


@pytest.mark.parametrize("machine, names", [("x86_64", ["avx512", "avx2", "portable"]), ("aarch64", ["portable"])])
def test_kernels_are_compiled_once_for_each_instruction_set(machine, names, tmp_path, monkeypatch):
    monkeypatch.setenv("CFLAGS", "-ffast-math")
    calls = fake_compiler(tmp_path, monkeypatch, f'[ "$2" = -dM ] && echo "#define __{machine}__ 1"; exit 0')
    build.build_library(SOURCES, tmp_path / "objects", tmp_path / "libdeeprnn.so")
    commands = [line.split() for line in calls.read_text().splitlines() if " -c " in line]
    kernels = {flag.removeprefix("-DISA="): line for line in commands for flag in line if flag.startswith("-DISA=")}
    assert sorted(kernels) == sorted(names)
    assert all(("-mavx512f" in line) == (name == "avx512") for name, line in kernels.items())
    assert len(commands) == len(names) + 2
    macros = {flag for line in commands for flag in line if flag.startswith("-DHAVE_")}
    assert macros == {f"-DHAVE_{name.upper()}" for name in names if name != "portable"}
    for line in commands:
        assert line.index("-ffast-math") < line.index("-fno-fast-math"), line
        assert not any(flag.startswith("-march") for flag in line), line
    assert " -shared " in calls.read_text().splitlines()[-1]


@pytest.mark.parametrize(
    "line, reason",
    [
        ("exit 0", None),
        (
            "echo 'In function f:' >&2; echo 'f.c:3: error: no g' >&2; exit 1",
            r"the C compiler failed .*: f.c:3: error: no g$",
        ),
        (
            "case $* in *-shared*) echo 'ld: no g' >&2; echo 'collect2: error: 1' >&2; exit 1;; esac",
            "linking .*: ld: no g$",
        ),
        ("exit 3", "exit status 3$"),
    ],
)
def test_reason_is_the_first_error_of_the_compiler(line, reason, tmp_path, monkeypatch):
    fake_compiler(tmp_path, monkeypatch, line)
    with pytest.raises(build.NotBuiltError, match=reason) if reason else nullcontext():
        build.build_library(SOURCES, tmp_path / "objects", tmp_path / "libdeeprnn.so")


@pytest.mark.parametrize(
    "variable, value, reason",
    [("CC", "/nowhere/cc -O1", "/nowhere/cc: command not found"), ("PATH", "/nowhere", "cc: command not found")],
)
def test_missing_compiler_is_the_reason(variable, value, reason, tmp_path, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(build.NotBuiltError, match=rf"^no C compiler was found at installation \({reason}\)$"):
        build.compiler()


@pytest.fixture
def source(tmp_path):
    """Copy what a build needs, because a later build would read the directories that a build creates."""
    for directory in ("deeprnn_keras", "zoo"):
        ignored = shutil.ignore_patterns("__pycache__", "libdeeprnn.so", build.REASON)
        shutil.copytree(ROOT / directory, tmp_path / "source" / directory, ignore=ignored)
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tmp_path / "source")
    return tmp_path / "source"


def build_distribution(source, *options):
    """Build into the directory above the sources and return the wheel."""
    command = [sys.executable, "-m", "build", *options, "--no-isolation", "--outdir", str(source.parent), str(source)]
    subprocess.run(command, check=True, capture_output=True, cwd=source.parent)
    (wheel,) = source.parent.glob("*.whl")
    return wheel


def native_files(wheel):
    with zipfile.ZipFile(wheel) as files:
        return {Path(name).name: name for name in files.namelist() if Path(name).parts[1:3] == ("kernels", "native")}


@pytest.mark.slow
def test_without_a_compiler_the_wheel_contains_the_reason_and_the_sdist_the_sources(source, monkeypatch):
    monkeypatch.setenv("CC", "/nowhere/cc")
    wheel = build_distribution(source)  # the sdist, and the wheel from it
    assert wheel.name.endswith("-py3-none-any.whl")
    files = native_files(wheel)
    assert "libdeeprnn.so" not in files and not any(name.endswith((".c", ".h")) for name in files)
    with zipfile.ZipFile(wheel) as archive:
        assert b"no C compiler was found at installation (/nowhere/cc" in archive.read(files[build.REASON])
    (sdist,) = source.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / build.SOURCES).iterdir()}
    assert {"setup.py", *sources} <= names


@pytest.fixture
def quick_compiler(tmp_path, monkeypatch):
    """Compile without optimizations, in a tenth of the time, if there is a compiler."""
    with suppress(build.NotBuiltError):
        script = tmp_path / "quick_cc"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(build.compiler())} "$@" -O0\n')
        script.chmod(0o755)
        monkeypatch.setenv("CC", str(script))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compiler")
def test_wheel_contains_the_zoo_and_the_native_library_and_works_outside_the_checkout(source, tmp_path):
    wheel = build_distribution(source, "--wheel")
    try:
        build.compiler()
    except build.NotBuiltError:
        assert wheel.name.endswith("-py3-none-any.whl") and build.REASON in native_files(wheel)
    else:
        assert "-py3-none-" in wheel.name and not wheel.name.endswith("-any.whl")
        assert "libdeeprnn.so" in native_files(wheel) and build.REASON not in native_files(wheel)
    site = tmp_path / "site"
    shutil.unpack_archive(wheel, site, "zip")
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); sys.path = [p for p in sys.path if p != {str(ROOT)!r}]\n"
        "from deeprnn_keras import zoo\n"
        f"assert zoo.__file__.startswith({str(site)!r}), zoo.__file__\n"
        "assert zoo.create_model('vowels_bigru_2x64', pretrained=True).count_params() == 105_609\n"
        "print(zoo.count_params('zaremba_medium'), dict(zoo.info('vowels_bigru_2x64').card())['measured results'])"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert process.stdout.startswith("19775200 0.9"), process.stderr
