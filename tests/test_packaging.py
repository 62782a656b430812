"""What is installed: every folder, the zoo with its weights, from a checkout and from a wheel."""

import importlib
import shutil
import subprocess
import sys
import tomllib

import pytest
from source_files import MODULES, ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_package_list_names_every_folder():
    folders = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == folders
    for path in MODULES.values():
        assert (path.parent / "__init__.py").exists(), path


def test_zoo_is_found_in_a_checkout_without_an_editable_install():
    code = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in str(f).lower()]\n"
        "from deeprnn_keras import zoo; print(zoo.count_params('zaremba_medium'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "19775200", done.stderr


def test_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="DeepRNM"):
        importlib.import_module("deeprnn_keras").DeepRNM  # noqa: B018


@pytest.mark.slow
def test_wheel_contains_the_zoo_and_works_elsewhere(tmp_path):
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
