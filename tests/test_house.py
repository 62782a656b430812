"""The rules of the house: floors, packages, file names, lint, and docstrings that run."""

import ast
import doctest
import importlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# A module imports only from parts that stand before its own.
FLOORS = [
    "checks",
    "registry",
    "optimizers",
    "equations",
    "specs",
    "stack",
    "initializers",
    "kernels",
    "cells",
    "layers",
    "data",
    "generation",
    "models",
    "training",
    "audit",
    "tasks",
    "bench",
    "tuning",
    "zoo",
    "cli",
]
# tf.data; "is there a GPU?"; and gradients of embeddings, which TensorFlow has as rows
KNOW_TENSORFLOW = [f"deeprnn_keras.data.{name}" for name in ("arrays", "batches", "buckets", "tbptt", "windows")]
KNOW_TENSORFLOW += ["deeprnn_keras.kernels.dispatch", "deeprnn_keras.optimizers.guard"]


def python_files(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def module_name(path):
    relative = path.relative_to(ROOT).with_suffix("")
    parts = [part for part in relative.parts if part != "__init__"]
    return ".".join(["deeprnn_keras", *parts] if parts[0] == "zoo" else parts)


MODULES = {module_name(path): path for path in python_files("deeprnn_keras", "zoo")}


def imported_names(path):
    """Full names of what a file imports from the package, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor(name):
    """The floor of a module or of a public name, or None outside the package."""
    parts = name.split(".")
    if parts[0] != "deeprnn_keras" or len(parts) == 1:
        return None
    if parts[1] not in FLOORS:
        parts = importlib.import_module("deeprnn_keras")._HOMES[parts[1]].split(".")
    return FLOORS.index(parts[1])


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"deeprnn_keras"}))  # the front door names every floor
def test_a_module_imports_only_from_lower_floors(module):
    for name in imported_names(MODULES[module]):
        if floor(name) is not None and not name.startswith(".".join(module.split(".")[:2])):
            assert floor(name) < floor(module), f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("deeprnn_keras.zoo")))
def test_the_zoo_uses_only_public_names(module):
    public = {f"deeprnn_keras.{name}" for name in [*importlib.import_module("deeprnn_keras").__all__, "checks"]}
    for shared in ("deeprnn_keras.tasks", "deeprnn_keras.training.files"):
        public |= {f"{shared}.{name}" for name in vars(importlib.import_module(shared))}
    for name in imported_names(MODULES[module]):
        if name.startswith("deeprnn_keras") and not name.startswith("deeprnn_keras.zoo"):
            assert name in public, f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_layers_know_no_backend(module):
    if floor(module) is None or floor(module) > FLOORS.index("models") or module in KNOW_TENSORFLOW:
        return
    if not module.startswith("deeprnn_keras.kernels.tensorflow"):
        assert not any(name.split(".")[0] in ("tensorflow", "torch", "jax") for name in imported_names(MODULES[module]))


def test_the_package_list_names_every_folder():
    folders = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == folders
    for path in MODULES.values():
        assert (path.parent / "__init__.py").exists(), path


@pytest.mark.parametrize(
    "path",
    python_files("deeprnn_keras", "zoo", "tests", "tutorials", "benchmarks"),
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_file_name_says_what_is_in_it(path):
    assert path.stem not in ("utils", "helpers", "common")


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_has_nothing_to_say(arguments):
    done = subprocess.run([sys.executable, "-m", "ruff", *arguments, "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", sorted(MODULES))
def test_the_examples_in_docstrings_run(module):
    results = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def test_every_public_name_has_an_example():
    package = importlib.import_module("deeprnn_keras")
    for name in set(package.__all__) - {"LETTERS"}:
        assert ">>>" in getattr(package, name).__doc__, name


def test_the_zoo_is_found_from_a_checkout_without_an_editable_install():
    code = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in str(f).lower()]\n"
        "from deeprnn_keras import zoo; print(zoo.count_params('zaremba_medium'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "19775200", done.stderr


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="DeepRNM"):
        importlib.import_module("deeprnn_keras").DeepRNM  # noqa: B018


def test_the_wheel_holds_the_zoo_and_works_elsewhere(tmp_path):
    source = tmp_path / "source"  # a copy: a build leaves folders behind that a later one would read
    for folder in ("deeprnn_keras", "zoo"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    subprocess.run(build, check=True, capture_output=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    shutil.unpack_archive(wheel, site, "zip")
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); sys.path = [p for p in sys.path if p != {str(ROOT)!r}]\n"
        "from deeprnn_keras import zoo\n"
        f"assert zoo.__file__.startswith({str(site)!r}), zoo.__file__\n"
        "assert zoo.create_model('vowels_bigru_2x64', pretrained=True).count_params() == 105_609\n"
        "print(zoo.count_params('zaremba_medium'), dict(zoo.info('vowels_bigru_2x64').card())['results here'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("19775200 0.9"), done.stderr
