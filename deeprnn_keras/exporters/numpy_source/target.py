"""`NumPyTarget`: export to a Python file that needs NumPy only."""

from __future__ import annotations

import importlib.util
import keyword
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from typing_extensions import override

from deeprnn_keras.exporters.numpy_source.source import NumPySource
from deeprnn_keras.exporters.operation_counts import operation_counts
from deeprnn_keras.exporters.target import Options, Runner, Target
from deeprnn_keras.program.program import Program

FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # so that equal programs give equal files


class NumPyTarget(Target):
    """A Python file with the equations, and an .npz file with the weights."""

    name = "numpy"
    title = "NumPy"
    suffix = ".py"
    always_streams = True

    @override
    def refusal(self, program: Program, options: Options) -> str | None:
        return None

    @override
    def file_refusal(self, path: Path) -> str | None:
        name = path.stem
        if not name.isidentifier() or keyword.iskeyword(name):
            return f"{name!r} is not a name that Python can import; use letters, digits, and underscores"
        if name in sys.stdlib_module_names or name == "numpy":
            return f"a file of the name {path.name!r} hides the module {name!r}; choose another name"
        return None

    @override
    def companions(self, path: Path) -> list[Path]:
        return [path.with_suffix(".npz")]

    @override
    def write(self, program: Program, path: Path, options: Options) -> list[Path]:
        path.write_text(NumPySource(program, path.stem).text(), encoding="utf-8", newline="\n")
        (arrays,) = self.companions(path)
        used = {name for operation in program.operations for name in operation.weight_names}
        with zipfile.ZipFile(arrays, "w") as archive:
            for name in sorted(used):
                with archive.open(zipfile.ZipInfo(f"{name}.npy", FIRST_DATE), "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.ascontiguousarray(program.weights[name]), allow_pickle=False)
        return [path, arrays]

    @override
    def runner(self, path: Path, program: Program, options: Options) -> Runner:
        return NumPyRunner(path, program)

    @override
    def operators(self, path: Path, program: Program, options: Options) -> dict[str, int]:
        return operation_counts(program)

    @override
    def notes(self, program: Program, options: Options) -> list[str]:
        return ["Each recurrence is a loop over time steps in Python."]


class NumPyRunner(Runner):
    """An exported Python file as a module.

    Args:
        path: The file.
        program: The program that was exported.
    """

    def __init__(self, path: Path, program: Program) -> None:
        spec = importlib.util.spec_from_file_location(f"exported_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        self.module: ModuleType = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.single = len(program.outputs) == 1

    @override
    def run(self, inputs: Sequence[np.ndarray], lengths: np.ndarray | None = None) -> list[np.ndarray]:
        assert lengths is None  # Python files read none
        outputs = self.module.run(*inputs)
        return [outputs] if self.single else list(outputs)

    @override
    def step(
        self, inputs: Sequence[np.ndarray], states: Mapping[str, np.ndarray] | None = None
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        before = self.module.initial_states(len(inputs[0])) if states is None else states
        *outputs, after = self.module.step(*inputs, before)
        return outputs, after
