"""Docstrings of public names: examples that run, errors, equations, shapes, and sources."""

import ast
import doctest
import functools
import importlib
import inspect
import re
import textwrap

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


# === Errors ===

CALLED_BY_THE_CONSTRUCTOR = (
    "__init__",
    "__post_init__",
    "build",
    "call",
)  # the docstring of the class lists their errors


def raises(function):
    """Return whether the code of a function raises an error about its arguments, or calls a check that does."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("checks."):
            return True
        if isinstance(node, ast.Raise) and node.exc is not None:
            return not re.match("NotImplementedError|AttributeError", ast.unparse(node.exc))
    return False


def functions_of(source):
    """Return (function, docstrings that may list its errors) of a public function, or of the methods of a class."""
    if isinstance(source, ast.FunctionDef):
        return [(source, [ast.get_docstring(source)])]
    methods = [part for part in getattr(source, "body", ()) if isinstance(part, ast.FunctionDef)]
    found = []
    for method in methods:
        decorators = [ast.unparse(decorator) for decorator in method.decorator_list]
        own, of_class = ast.get_docstring(method), ast.get_docstring(source)
        shares = method.name in CALLED_BY_THE_CONSTRUCTOR or "override" in decorators or own is None
        if method.name in CALLED_BY_THE_CONSTRUCTOR or not (method.name.startswith("_") or "property" in decorators):
            found.append((method, [own, of_class] if shares else [own]))
    return found


@functools.cache
def public_definitions():
    """Return {name: definition} of the public functions and classes of the package."""
    definitions = {}
    for package, name in public_names():
        value = getattr(importlib.import_module(package), name)
        if inspect.isfunction(value) or inspect.isclass(value):
            source = textwrap.dedent(inspect.getsource(value))
            definitions[f"{package}.{name}"] = ast.parse(source).body[0]
    return definitions


def test_public_callables_list_their_errors():
    lacking = [
        f"{name}: {function.name}"
        for name, definition in public_definitions().items()
        for function, docstrings in functions_of(definition)
        if raises(function) and not any(re.search(r"\bRaises:|^Raise ", text or "") for text in docstrings)
    ]
    assert not lacking, "\n".join(lacking)


# === Equations, shapes, and sources ===

WITHOUT_EQUATION = {"RNN", "RecurrentCell", "BlankPadding", "OneHot"}  # they take any cell, or have no arithmetic
SHAPE, SOURCE = r"\(\w+, \S", r"arXiv|doi|\b(19|20)\d\d\b"


def docstrings_of(package, base):
    """Return {name: docstring} of the public classes of a package that have equations."""
    module = importlib.import_module(f"deeprnn_keras.{package}")
    classes = {name: getattr(module, name) for name in module.__all__ if name not in WITHOUT_EQUATION}
    return {name: cls.__doc__ for name, cls in classes.items() if inspect.isclass(cls) and issubclass(cls, base)}


@pytest.mark.parametrize(
    ("package", "base", "patterns"),
    [
        ("cells", "keras.Layer", (" = ", SHAPE, SOURCE)),
        ("layers", "keras.Layer", (" = |H_t", SHAPE, SOURCE)),
        ("forecasting", "keras.Loss", (" = ",)),
    ],
)
def test_layers_cells_and_losses_state_equation_shapes_and_source(package, base, patterns):
    import keras

    texts = docstrings_of(package, getattr(keras, base.partition(".")[2]))
    assert len(texts) > 3
    lacking = [
        f"{name}: {pattern}" for name, text in texts.items() for pattern in patterns if not re.search(pattern, text)
    ]
    assert not lacking
