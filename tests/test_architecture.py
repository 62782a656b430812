"""Architecture: order of imports, public names, independence of the backend, and lint."""

import ast
import functools
import importlib
import subprocess
import sys

import pytest
from source_files import MODULES, PUBLIC_NAMES, ROOT, SUBMODULES, python_files

# A module imports only from its own package and from modules above its own in this list.
IMPORT_ORDER = [
    "_types",
    "stand_ins",
    "_compat",
    "extras",
    "checks",
    "limits",
    "keras_objects",
    "freezing",
    "registry",
    "reading",
    "model_file",
    "locking",
    "writing",
    "progress",
    "processes",
    "terminal",
    "tutorial",
    "optimizers",
    "equations",
    "specs",
    "stack",
    "initializers",
    "kernels",
    "cells",
    "layers",
    "data",
    "program",
    "streaming",
    "generation",
    "models",
    "exporters",
    "interop",
    "training",
    "audit",
    "forecasting",
    "tasks",
    "bench",
    "tuning",
    "zoo",
    "cli",
]
# they use tf.data, look for a GPU, or process gradients of embeddings, which TensorFlow represents as rows
TENSORFLOW_MODULES = [
    f"deeprnn_keras.data.{name}"
    for name in ("arrays", "batches", "buckets", "generated", "series_dataset", "tbptt", "windows")
]
TENSORFLOW_MODULES += ["deeprnn_keras._compat", "deeprnn_keras.kernels.machine", "deeprnn_keras.optimizers.guard"]
TENSORFLOW_MODULES += ["deeprnn_keras.layers.carried_state", "deeprnn_keras.processes"]
TENSORFLOW_MODULES += [f"deeprnn_keras.kernels.native.{name}" for name in ("plain", "tensorflow", "jax", "torch")]
TENSORFLOW_PACKAGES = ("deeprnn_keras.kernels.xla", "deeprnn_keras.kernels.cudnn", "deeprnn_keras.kernels.scan")


@functools.cache
def imported_names(path):
    """Return the full names of the imports in a file, including those inside functions."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def import_position(name):
    """Return the position of a module or public name in IMPORT_ORDER, or None outside the package."""
    parts = name.split(".")
    if parts[0] != "deeprnn_keras" or len(parts) == 1:
        return None
    return IMPORT_ORDER.index(PUBLIC_NAMES.get(parts[1], parts[1]))


def test_modules_import_only_from_modules_above():
    wrong = [
        f"{module} imports {name}"
        for module in MODULES.keys() - {"deeprnn_keras"}  # which exports names of all modules
        for name in imported_names(MODULES[module])
        if import_position(name) is not None and not name.startswith(".".join(module.split(".")[:2]))
        if import_position(name) >= import_position(module)
    ]
    assert not wrong, "\n".join(wrong)


def names_for_the_zoo():
    """Return the full names that the zoo may import from the package."""
    public = {f"deeprnn_keras.{name}" for name in [*PUBLIC_NAMES, "checks"]}
    public |= {f"deeprnn_keras.{name}" for name in ("registry.Registry", "specs.registered_cell")}
    public |= {
        f"deeprnn_keras.stack.{name}" for name in ("count_head_params", "layer_units", "layer_widths", "output_width")
    }
    for package in SUBMODULES - {"zoo"}:
        exported = importlib.import_module(f"deeprnn_keras.{package}")
        public |= {f"deeprnn_keras.{package}.{name}" for name in getattr(exported, "__all__", ())}
    public |= {f"deeprnn_keras.writing.{name}" for name in ("save_bytes", "save_text")}
    public |= {f"deeprnn_keras.freezing.{name}" for name in ("set_trainable_flags", "trainable_config")}
    public |= {f"deeprnn_keras.reading.{name}" for name in vars(importlib.import_module("deeprnn_keras.reading"))}
    return public | {f"deeprnn_keras._types.{name}" for name in vars(importlib.import_module("deeprnn_keras._types"))}


def test_zoo_uses_only_public_names():
    public = names_for_the_zoo()
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        if module.startswith("deeprnn_keras.zoo")
        for name in imported_names(MODULES[module])
        if name.startswith("deeprnn_keras") and not name.startswith("deeprnn_keras.zoo") and name not in public
    ]
    assert not wrong, "\n".join(wrong)


def test_modules_up_to_models_import_no_backend():
    last = IMPORT_ORDER.index("models")
    modules = {module for module in MODULES if import_position(module) is not None and import_position(module) <= last}
    wrong = [
        f"{module} imports {name}"
        for module in modules - set(TENSORFLOW_MODULES)
        if not module.startswith(TENSORFLOW_PACKAGES)
        for name in imported_names(MODULES[module])
        if name.split(".")[0] in ("tensorflow", "torch", "jax")
    ]
    assert not wrong, "\n".join(wrong)


def test_contract_of_implementations_imports_no_framework():
    code = (
        "import sys\n"
        "from deeprnn_keras.kernels import contract, implementations, selection, unsupported\n"
        "print(*implementations(), *(name for name in ('keras', 'tensorflow') if name in sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    expected = ["cudnn", "native", "scan", "linear_scan", "xla", "loop"]
    assert process.stdout.split() == expected, process.stdout + process.stderr


def test_no_module_has_a_catch_all_name():
    for path in python_files("deeprnn_keras", "zoo", "tests", "tutorials", "benchmarks"):
        assert path.stem not in ("utils", "helpers", "common"), path


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_passes(arguments):
    process = subprocess.run([sys.executable, "-m", "ruff", *arguments, "."], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
