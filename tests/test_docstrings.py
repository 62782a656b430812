"""Docstrings: examples run, arguments and exceptions are those of the code, equations have shapes and sources."""

import ast
import doctest
import functools
import importlib
import inspect
import re

import pytest
from source_files import MODULES, PUBLIC_NAMES, SUBMODULES

WITHOUT_EXAMPLE = {  # constants, and what is shown in the example of what makes or uses it
    "LETTERS",
    "cells.deep_transition_gru",
    "cells.deep_transition_lstm",
    "cells.deep_transition_rnn",
    "data.LETTERS",
    "data.SyntheticSeries",
    "forecasting.OriginWindows",
    "interop.Entry",
    "interop.Replacement",
    "optimizers.GUARDED_OPTIMIZERS",
    "tasks.EvaluationRecord",
    "tasks.Plan",
    "tasks.Run",
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


# === Arguments and exceptions ===

SECTION = re.compile(r"^(Args|Attributes|Raises):\n((?: +.*\n|\n)*)", re.MULTILINE)
CHECK = re.compile(r"checks\.(?!flags?$|suggestion)")  # flags are described as such
ENTRY = re.compile(r"^ {4}\*{0,2}([\w.]+):", re.MULTILINE)


def entries(docstring):
    """Return {section: names of its entries} of a docstring."""
    return {title: ENTRY.findall(text) for title, text in SECTION.findall(f"{docstring}\n")}


@functools.cache
def definitions(path):
    """Return the classes and functions of a file by name; of an overloaded function, the implementation."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name: node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def is_decorated(node, name):
    return any(name in ast.unparse(decorator) for decorator in node.decorator_list)


def documented_definitions():
    """Yield (name, node with the docstring, function or None) of public functions, classes, and their methods."""
    for package, name in public_names():
        value = getattr(importlib.import_module(package), name)
        path = MODULES.get(getattr(value, "__module__", ""))  # None for constants
        node = None if path is None else definitions(path).get(name)
        if isinstance(node, ast.FunctionDef):
            yield name, node, node
        elif node is not None:
            methods = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}
            yield name, node, methods.get("__init__")
            for method in methods.values():
                public = not method.name.startswith("_") or method.name == "__call__"
                if public and not is_decorated(method, "override") and ast.get_docstring(method):
                    yield f"{name}.{method.name}", method, method


def parameters(node, function):
    """Return the names of the parameters of a function or of the fields of a dataclass, and those with a star."""
    if function is None:
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign)] if is_decorated(node, "dataclass") else []
        return [one.target.id for one in fields if "ClassVar" not in ast.unparse(one.annotation)], []
    all_ = function.args
    named = [one.arg for one in (*all_.posonlyargs, *all_.args, *all_.kwonlyargs) if one.arg not in ("self", "cls")]
    return named, [one.arg for one in (all_.vararg, all_.kwarg) if one is not None]


def raised(function):
    """Return the names of the exceptions that a function raises itself, without those of functions inside it."""
    found, nodes = set(), list(function.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            found.add(ast.unparse(getattr(node.exc, "func", node.exc)).rpartition(".")[2])
        if isinstance(node, ast.Call) and CHECK.match(ast.unparse(node.func)):
            found.add("ValueError")
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            nodes += ast.iter_child_nodes(node)
    return {name for name in found if name[0].isupper()} - {"NotImplementedError", "AttributeError"}


def differences(node, function):
    """Yield differences between the docstring and the code of a function, of a method, or of a class."""
    docstring = ast.get_docstring(node) or ""
    found = entries(docstring)
    named, starred = parameters(node, function)
    expected = [name for name in named if not name.startswith("_")]
    documented = found.get("Args", found.get("Attributes", []) if isinstance(node, ast.ClassDef) else [])
    if "Args" in found or isinstance(node, ast.ClassDef) or len(expected) > 1:
        described = [name for name in documented if name in expected]
        if described != expected:
            yield f"describes {described} instead of {expected}"
    if "Args" in found and function is not None and not starred and set(documented) - set(named):
        yield f"describes {sorted(set(documented) - set(named))}, which are no arguments"
    exceptions = {name.rpartition(".")[2] for name in found.get("Raises", ())}
    exceptions |= set(re.findall(r"Raise an? (\w+)", docstring))
    for name in sorted(raised(function) - exceptions if function is not None else ()):
        yield f"does not name {name}, which it raises"


def test_docstrings_describe_arguments_and_exceptions():
    """All arguments in their order, and no others; and the exceptions that the function raises itself."""
    found = [
        f"{name}: {difference}"
        for name, node, function in documented_definitions()
        for difference in differences(node, function)
    ]
    assert not found, "\n".join(found)


# === Equations, shapes, and sources ===

WITHOUT_EQUATION = {"RNN", "RecurrentCell", "BlankPadding", "OneHot"}  # they take any cell, or have no arithmetic
SHAPE, SOURCE = r"\(\w+, \S", r"arXiv|doi|\b(19|20)\d\d\b"


def docstrings_of(package, base):
    """Return {name: docstring} of the public classes of a package that have equations."""
    module = importlib.import_module(f"deeprnn_keras.{package}")
    classes = {name: getattr(module, name) for name in module.__all__ if name not in WITHOUT_EQUATION}
    return {name: one.__doc__ for name, one in classes.items() if inspect.isclass(one) and issubclass(one, base)}


@pytest.mark.parametrize(
    ("package", "base", "patterns"),
    [
        ("cells", "Layer", (" = ", SHAPE, SOURCE)),
        ("layers", "Layer", (" = |H_t", SHAPE, SOURCE)),
        ("forecasting", "Loss", (" = ",)),
    ],
)
def test_layers_cells_and_losses_state_equation_shapes_and_source(package, base, patterns):
    import keras

    texts = docstrings_of(package, getattr(keras, base))
    assert len(texts) > 3
    lacking = [
        f"{name}: {pattern}" for name, text in texts.items() for pattern in patterns if not re.search(pattern, text)
    ]
    assert not lacking
