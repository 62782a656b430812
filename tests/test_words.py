"""Wording in the repository: first lines of docstrings, and phrases that the project does not use."""

import ast
import functools
import re
from pathlib import Path

from source_files import ROOT, python_files

FIRST_WORDS = re.compile(r"(What|Whether|How|Of|Such as|That)\b|->")
ENTRY = re.compile(r"^ +\*{0,2}\w+: (What|Whether|How|Such as|That)\b.*", re.MULTILINE)  # of an argument or attribute
# the parentheses interrupt each phrase, so that the pattern does not match its own source
PHRASES = re.compile(
    r"\b((goes) on|(broken) off|(a)new|(way) back|(way) forward|(cannot) be|(colo)ur)\b", re.IGNORECASE
)
DIRECTORIES = ("deeprnn_keras", "zoo", "tests", "tutorials", "benchmarks", "docs", ".ci", "typings")
TEXT = (".py", ".pyi", ".md", ".toml", ".yaml", "")


def text_files():
    paths = [path for directory in DIRECTORIES for path in (ROOT / directory).rglob("*") if path.is_file()]
    paths += [path for path in ROOT.iterdir() if path.is_file() and path.name != "LICENSE"]
    return [path for path in paths if path.suffix in TEXT and "__pycache__" not in path.parts]


@functools.cache
def docstrings(path: Path):
    """Return (name of a module, class, or function, its docstring) of a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                found.append((getattr(node, "name", path.stem), text))
    return found


def test_docstrings_begin_with_a_verb_or_a_noun():
    paths = python_files("deeprnn_keras", "zoo", "tests", "tutorials", "benchmarks")
    found = [
        f"{path}: {name}: {text[:60]}" for path in paths for name, text in docstrings(path) if FIRST_WORDS.match(text)
    ]
    assert not found, "\n".join(found)


def test_descriptions_of_arguments_begin_with_a_verb_a_noun_or_a_condition():
    """ "If True, …" for flags, "True if …" for attributes, not "Whether …"."""
    found = [
        f"{path}: {name}: {match[0].strip()}"
        for path in python_files("deeprnn_keras", "zoo", "tests", "tutorials", "benchmarks")
        for name, text in docstrings(path)
        for match in ENTRY.finditer(text)
    ]
    assert not found, "\n".join(found)


def test_phrases_are_not_used():
    found = []
    for path in text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            found += [f"{path}:{number}: {match[0]}" for match in PHRASES.finditer(line)]
    assert not found, "\n".join(found)
