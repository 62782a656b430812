"""The rules of the house: imports go to lower floors, names are public, layers know no backend, lint passes."""

import ast
import importlib
import subprocess
import sys

import pytest
from source_files import HOMES, MODULES, ROOT, SUBMODULES, python_files

# A module imports only from parts that stand before its own.
FLOORS = [
    "_types",
    "_compat",
    "extras",
    "checks",
    "keras_objects",
    "registry",
    "reading",
    "locking",
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
KNOW_TENSORFLOW += ["deeprnn_keras._compat", "deeprnn_keras.kernels.machine", "deeprnn_keras.optimizers.guard"]
KNOW_TENSORFLOW += ["deeprnn_keras.layers.carried_state"]
TENSORFLOW_KERNELS = ("deeprnn_keras.kernels.xla", "deeprnn_keras.kernels.cudnn")


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
    return FLOORS.index(HOMES.get(parts[1], parts[1]))


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"deeprnn_keras"}))  # the front door names every floor
def test_module_imports_only_from_lower_floors(module):
    for name in imported_names(MODULES[module]):
        if floor(name) is not None and not name.startswith(".".join(module.split(".")[:2])):
            assert floor(name) < floor(module), f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("deeprnn_keras.zoo")))
def test_zoo_uses_only_public_names(module):
    public = {f"deeprnn_keras.{name}" for name in [*HOMES, "checks"]}
    public |= {f"deeprnn_keras.{name}" for name in ("registry.Registry", "specs.registered_cell")}
    public |= {f"deeprnn_keras.stack.{name}" for name in ("layer_units", "output_width")}
    for package in SUBMODULES - {"zoo"}:
        exported = importlib.import_module(f"deeprnn_keras.{package}")
        public |= {f"deeprnn_keras.{package}.{name}" for name in getattr(exported, "__all__", ())}
    public |= {f"deeprnn_keras.training.files.{name}" for name in ("save_bytes", "save_text")}
    public |= {f"deeprnn_keras._types.{name}" for name in vars(importlib.import_module("deeprnn_keras._types"))}
    for name in imported_names(MODULES[module]):
        if name.startswith("deeprnn_keras") and not name.startswith("deeprnn_keras.zoo"):
            assert name in public, f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_layers_import_no_backend(module):
    if floor(module) is None or floor(module) > FLOORS.index("models") or module in KNOW_TENSORFLOW:
        return
    if not module.startswith(TENSORFLOW_KERNELS):
        assert not any(name.split(".")[0] in ("tensorflow", "torch", "jax") for name in imported_names(MODULES[module]))


def test_contract_of_implementations_imports_no_framework():
    code = (
        "import sys\n"
        "from deeprnn_keras.kernels import contract, implementations, selection, unsupported\n"
        "print(*implementations(), *(name for name in ('keras', 'tensorflow') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["cudnn", "xla", "loop"], done.stdout + done.stderr


def test_no_module_has_a_catch_all_name():
    for path in python_files("deeprnn_keras", "zoo", "tests", "tutorials", "benchmarks"):
        assert path.stem not in ("utils", "helpers", "common"), path


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_passes(arguments):
    done = subprocess.run([sys.executable, "-m", "ruff", *arguments, "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
