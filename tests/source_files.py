"""The source files of the repository and the names of the package's modules."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def python_files(*directories):
    return [path for directory in directories for path in sorted((ROOT / directory).rglob("*.py"))]


def module_name(path):
    relative = path.relative_to(ROOT).with_suffix("")
    parts = [part for part in relative.parts if part != "__init__"]
    return ".".join(["deeprnn_keras", *parts] if parts[0] == "zoo" else parts)


MODULES = {module_name(path): path for path in python_files("deeprnn_keras", "zoo")}


def stub_names(stub):
    """{name: module, "" for a submodule} of a package's stub, which `lazy_loader` reads."""
    imports = [node for node in ast.parse(stub.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


STUBS = {path.parent: stub_names(path) for path in (ROOT / "deeprnn_keras").rglob("__init__.pyi")}
HOMES = {name: module for name, module in STUBS[ROOT / "deeprnn_keras"].items() if module}
SUBMODULES = {name for name, module in STUBS[ROOT / "deeprnn_keras"].items() if not module}
