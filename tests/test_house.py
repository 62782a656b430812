"""The rules of the house: floors, packages, lint, and docstrings that run."""

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
    "_compat",
    "extras",
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
KNOW_TENSORFLOW += ["deeprnn_keras._compat", "deeprnn_keras.kernels.dispatch", "deeprnn_keras.optimizers.guard"]


def python_files(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def module_name(path):
    relative = path.relative_to(ROOT).with_suffix("")
    parts = [part for part in relative.parts if part != "__init__"]
    return ".".join(["deeprnn_keras", *parts] if parts[0] == "zoo" else parts)


WITHOUT_EXAMPLE = {  # constants, and what is shown in the example of what makes or uses it
    "LETTERS",
    "cells.deep_transition_gru",
    "cells.deep_transition_lstm",
    "cells.deep_transition_rnn",
    "data.LETTERS",
    "data.Labelled",
    "data.SeriesSplit",
    "equations.Blocks",
    "equations.Linear",
    "generation.Score",
    "generation.score",
    "models.load_language_model",
    "optimizers.GUARDED",
    "tasks.Figures",
    "tasks.Plan",
    "tasks.Run",
    "tuning.BayesianOptimization",
    "tuning.GridSearch",
    "tuning.Hyperband",
    "tuning.OwnModel",
}


def stub_names(stub):
    """{name: module, "" for a submodule} of a package's stub, which `lazy_loader` reads."""
    imports = [node for node in ast.parse(stub.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


STUBS = {path.parent: stub_names(path) for path in (ROOT / "deeprnn_keras").rglob("__init__.pyi")}
HOMES = {name: module for name, module in STUBS[ROOT / "deeprnn_keras"].items() if module}
SUBMODULES = {name for name, module in STUBS[ROOT / "deeprnn_keras"].items() if not module}
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
    return FLOORS.index(HOMES.get(parts[1], parts[1]))


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"deeprnn_keras"}))  # the front door names every floor
def test_a_module_imports_only_from_lower_floors(module):
    for name in imported_names(MODULES[module]):
        if floor(name) is not None and not name.startswith(".".join(module.split(".")[:2])):
            assert floor(name) < floor(module), f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("deeprnn_keras.zoo")))
def test_the_zoo_uses_only_public_names(module):
    public = {f"deeprnn_keras.{name}" for name in [*HOMES, "checks"]}
    public |= {f"deeprnn_keras.{name}" for name in ("registry.Registry", "specs.cell_spec")}
    public |= {f"deeprnn_keras.stack.{name}" for name in ("layer_units", "output_width")}
    for package in SUBMODULES - {"zoo"}:
        exported = importlib.import_module(f"deeprnn_keras.{package}")
        public |= {f"deeprnn_keras.{package}.{name}" for name in getattr(exported, "__all__", ())}
    public |= {f"deeprnn_keras.training.files.{name}" for name in ("save_bytes", "save_text")}
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
def test_a_file_says_what_it_holds(path):
    assert path.stem not in ("utils", "helpers", "common")


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_has_nothing_to_say(arguments):
    done = subprocess.run([sys.executable, "-m", "ruff", *arguments, "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", sorted(MODULES))
def test_the_examples_in_docstrings_run(module):
    results = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def public_names():
    """(package, name) of every public name, of the top level and of its submodules."""
    yield from (("deeprnn_keras", name) for name in HOMES)
    for package in sorted(SUBMODULES - {"zoo"}):
        exported = getattr(importlib.import_module(f"deeprnn_keras.{package}"), "__all__", ())
        yield from ((f"deeprnn_keras.{package}", name) for name in exported)


def test_every_public_name_has_an_example():
    lacking = {
        f"{package}.{name}"
        for package, name in public_names()
        if ">>>" not in (getattr(importlib.import_module(package), name).__doc__ or "")
    }
    assert {name.removeprefix("deeprnn_keras.") for name in lacking} <= WITHOUT_EXAMPLE, lacking


@pytest.mark.parametrize("folder", STUBS, ids=lambda folder: folder.name)
def test_stubs_name_what_there_is(folder):
    package = importlib.import_module(module_name(folder / "__init__.py"))
    assert package.__all__ == dir(package) == sorted(STUBS[folder])
    for name, module in STUBS[folder].items():
        assert getattr(package, name) is not None
        assert name != module.partition(".")[0], f"{module}: importing the module would hide its name"


def test_importing_the_package_imports_no_framework():
    code = (
        "import sys, deeprnn_keras as d\n"
        "def loaded(): return [name for name in ('keras', 'tensorflow') if name in sys.modules]\n"
        "d.data, d.training, d.tuning, d.audit, d.generation, d.training.Recipe, d.data.TextCorpus\n"
        "print(loaded(), len(d.zoo.list_models()) > 20, 'HyperDeepRNN' in dir(d.tuning))\n"
        "public = [name for name in dir(d) if not name.startswith('_')]\n"
        "print(public == dir(d), {'zoo', 'DeepRNN'} < set(public))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["[]", "True", "True", "True", "True"], done.stdout + done.stderr


def test_the_zoo_is_found_from_a_checkout_without_an_editable_install():
    code = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in str(f).lower()]\n"
        "from deeprnn_keras import zoo; print(zoo.count_params('zaremba_medium'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "19775200", done.stderr


def test_an_unknown_public_name_is_an_attribute_error():
    package = importlib.import_module("deeprnn_keras")
    with pytest.raises(AttributeError, match=r"no attribute 'DeepRNM'$"):
        package.DeepRNM  # noqa: B018
    with pytest.raises(AttributeError, match="it is now 'AffineMap'"):
        package.Map  # noqa: B018
    with pytest.raises(AttributeError, match=r"use deeprnn_keras\.data\.SeriesSplit"):
        package.SeriesSplit  # noqa: B018


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
