"""Docstrings: their examples run, and every public name has one."""

import doctest
import importlib

import pytest
from source_files import MODULES

pytestmark = pytest.mark.usefixtures("eager")  # examples train for a few steps


@pytest.mark.parametrize("module", sorted(MODULES))
def test_docstring_examples_run(module):
    results = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def test_every_public_name_has_an_example():
    package = importlib.import_module("deeprnn_keras")
    for name in set(package.__all__) - {"LETTERS"}:
        assert ">>>" in getattr(package, name).__doc__, name
