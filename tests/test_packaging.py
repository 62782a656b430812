"""Packaging: installed files, names of the stubs, lazy imports, and the zoo in a wheel."""

import importlib
import shutil
import subprocess
import sys
import tomllib

import pytest
from source_files import MODULES, ROOT, STUBS, module_name

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
        "print(public == dir(d) and len(public) <= 45, {'zoo', 'DeepRNN'} < set(public))"
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


@pytest.mark.slow
def test_wheel_contains_the_zoo_and_works_outside_the_checkout(tmp_path):
    source = tmp_path / "source"  # a copy, because a later build would read the directories that a build creates
    for directory in ("deeprnn_keras", "zoo"):
        shutil.copytree(ROOT / directory, source / directory, ignore=shutil.ignore_patterns("__pycache__"))
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
        "print(zoo.count_params('zaremba_medium'), dict(zoo.info('vowels_bigru_2x64').card())['measured results'])"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert process.stdout.startswith("19775200 0.9"), process.stderr
