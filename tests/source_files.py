"""Source files of the repository, and names of the modules of the package."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def python_files(*directories: str) -> list[Path]:
    """Return the Python files in directories of the repository."""
    return [path for directory in directories for path in sorted((ROOT / directory).rglob("*.py"))]


def module_name(path: Path) -> str:
    """Return the name under which a file is imported; `zoo` is installed as `deeprnn_keras.zoo`."""
    relative = path.relative_to(ROOT).with_suffix("")
    parts = [part for part in relative.parts if part != "__init__"]
    return ".".join(["deeprnn_keras", *parts] if parts[0] == "zoo" else parts)


MODULES = {module_name(path): path for path in python_files("deeprnn_keras", "zoo")}


def stub_names(stub: Path) -> dict[str, str]:
    """Return the names in the stub of a package, {name: module, or "" for a submodule}; `lazy_loader` reads it."""
    imports = [node for node in ast.parse(stub.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


STUBS = {path.parent: stub_names(path) for path in (ROOT / "deeprnn_keras").rglob("__init__.pyi")}
PUBLIC_NAMES = {name: module for name, module in STUBS[ROOT / "deeprnn_keras"].items() if module}
SUBMODULES = {name for name, module in STUBS[ROOT / "deeprnn_keras"].items() if not module}
