"""The source files of the repository and the names of the package's modules."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def python_files(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def module_name(path):
    relative = path.relative_to(ROOT).with_suffix("")
    parts = [part for part in relative.parts if part != "__init__"]
    return ".".join(["deeprnn_keras", *parts] if parts[0] == "zoo" else parts)


MODULES = {module_name(path): path for path in python_files("deeprnn_keras", "zoo")}
