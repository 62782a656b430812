"""Docstrings: their examples run, and every public name has one."""

import doctest
import importlib

import pytest
from source_files import MODULES, PUBLIC_NAMES, SUBMODULES

WITHOUT_EXAMPLE = {  # constants, and what is shown in the example of what makes or uses it
    "LETTERS",
    "cells.deep_transition_gru",
    "cells.deep_transition_lstm",
    "cells.deep_transition_rnn",
    "data.LETTERS",
    "data.LabeledSeries",
    "data.MarketSeries",
    "data.SeriesSplit",
    "data.SyntheticSeries",
    "equations.Blocks",
    "equations.Linear",
    "forecasting.Evaluation",
    "forecasting.Likelihood",
    "forecasting.OriginWindows",
    "generation.Score",
    "generation.score",
    "interop.Entry",
    "interop.Replacement",
    "models.load_language_model",
    "optimizers.GUARDED_OPTIMIZERS",
    "tasks.EvaluationRecord",
    "tasks.Plan",
    "tasks.Run",
    "tuning.BayesianOptimization",
    "tuning.CustomModelConfig",
    "tuning.GridSearch",
    "tuning.Hyperband",
}
pytestmark = pytest.mark.usefixtures("eager")  # examples train for a few steps


@pytest.mark.parametrize("module", sorted(MODULES))
def test_docstring_examples_run(module):
    if module in ("deeprnn_keras.kernels.native.jax", "deeprnn_keras.kernels.native.torch"):
        pytest.importorskip(module.rpartition(".")[2])  # an optional framework
    results = doctest.testmod(
        importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert results.failed == 0


def public_names():
    """(package, name) of every public name, of the top level and of its submodules."""
    yield from (("deeprnn_keras", name) for name in PUBLIC_NAMES)
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
