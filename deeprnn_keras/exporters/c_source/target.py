"""`CTarget`: export to one C99 file."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from typing_extensions import override

from deeprnn_keras.exporters.c_source.check_program import check_program
from deeprnn_keras.exporters.c_source.compiler import compile_shared, find_compiler, missing_compiler
from deeprnn_keras.exporters.c_source.header import header
from deeprnn_keras.exporters.c_source.source import CSource
from deeprnn_keras.exporters.c_source.weights import dequantized, matrix_weights
from deeprnn_keras.exporters.identifiers import ascii_identifier
from deeprnn_keras.exporters.operation_counts import operation_counts
from deeprnn_keras.exporters.quantization import note
from deeprnn_keras.exporters.target import Options, Runner, Target
from deeprnn_keras.program.program import Program


class CTarget(Target):
    """A C99 file without dependencies, its header, and a program that checks it."""

    name = "c"
    title = "C"
    suffix = ".c"
    quantizations = ("int8",)
    always_streams = True

    @override
    def refusal(self, program: Program, options: Options) -> str | None:
        ahead = program.looking_ahead
        if ahead is not None:
            return (
                f"{ahead.name!r} needs the whole sequence, and a C file executes one step after the other; export to "
                "another format (.py, .onnx), or train a model that reads the sequence in one direction"
            )
        if options.batch_size not in (None, 1):
            return f"batch_size={options.batch_size} is not supported; leave it out and use one state per sequence"
        return None

    @override
    def file_refusal(self, path: Path) -> str | None:
        if ascii_identifier(path.stem) is None:
            return f"identifiers of C are made of {path.stem!r}, which has letters outside ASCII; rename the file"
        return None

    @override
    def companions(self, path: Path) -> list[Path]:
        name = identifier(path)
        return [path.with_name(f"{name}.h"), path.with_name(f"{name}_test.c")]

    @override
    def write(self, program: Program, path: Path, options: Options) -> list[Path]:
        quantized = options.quantize is not None
        source = CSource(program, identifier(path), quantized)
        reference = dequantized(program) if quantized else program
        texts = [source.text(), header(source), check_program(source, reference)]
        files = [path, *self.companions(path)]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text, encoding="ascii", newline="\n")
        return files

    @override
    def runner(self, path: Path, program: Program, options: Options) -> Runner:
        return CRunner(path, program)

    @override
    def operators(self, path: Path, program: Program, options: Options) -> dict[str, int]:
        return operation_counts(program)

    @override
    def notes(self, program: Program, options: Options) -> list[str]:
        if options.quantize is None:
            return []
        names = [name for name, _ in matrix_weights(program)]
        return [note(program, names, "with one scale per output; activations and sums have 32 bits")]

    @override
    def missing(self, verify: bool) -> str | None:
        if verify and find_compiler() is None:
            return f"verification of C files requires a C compiler: {missing_compiler()}"
        return None


def identifier(path: Path) -> str:
    """Return the prefix of the identifiers of a file."""
    return ascii_identifier(path.stem) or "model"


class CRunner(Runner):
    """An exported C file, compiled into a shared library.

    Args:
        path: The file.
        program: The program that was exported.
    """

    def __init__(self, path: Path, program: Program) -> None:
        self.program, self.name = program, identifier(path)
        with tempfile.TemporaryDirectory() as directory:
            wrapper, library = Path(directory, "size_of_state.c"), Path(directory, "library.so")
            size = f"size_t size_of_state(void);\nsize_t size_of_state(void) {{ return sizeof({self.name}_state); }}"
            wrapper.write_text(f'#include "{self.name}.h"\n{size}\n', encoding="ascii")
            files, options = [path.resolve(), wrapper], [f"-I{path.resolve().parent}"]
            try:
                compile_shared(files, library, [*options, "-march=native"])
            except RuntimeError:  # a compiler without the option
                compile_shared(files, library, options)
            self.library = ctypes.CDLL(str(library))
        self.library.size_of_state.restype = ctypes.c_size_t
        self._size: int = self.library.size_of_state()

    @override
    def run(self, inputs: Sequence[np.ndarray], lengths: np.ndarray | None = None) -> list[np.ndarray]:
        assert lengths is None  # C files read none
        batch_size, steps = inputs[0].shape[:2]
        program = self.program
        outputs = {
            name: np.empty(
                (batch_size, program.widths[name])
                if name in program.final
                else (batch_size, steps, program.widths[name]),
                np.float32,
            )
            for name in program.outputs
        }
        arrays = [_readable(one) for one in inputs]
        for row in range(batch_size):
            pointers = [_pointer(one[row]) for one in (*arrays, *outputs.values())]
            self._call("run", self._new_state(), ctypes.c_size_t(steps), *pointers)
        return [outputs[name] for name in program.outputs]

    @override
    def step(
        self, inputs: Sequence[np.ndarray], states: Mapping[str, np.ndarray] | None = None
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        program, batch_size = self.program, len(inputs[0])
        before = program.initial_states(batch_size) if states is None else states
        after = {name: np.empty_like(array) for name, array in before.items()}
        outputs = {name: np.empty((batch_size, program.widths[name]), np.float32) for name in program.outputs}
        arrays = [_readable(one) for one in inputs]
        for row in range(batch_size):
            memory = self._new_state()
            floats = memory.view(np.float32)
            _write_states(floats, [before[name][row] for name in program.states])
            given = [
                ctypes.c_int32(int(array[row])) if one.ids else _pointer(array[row])
                for one, array in zip(program.inputs, arrays, strict=True)
            ]
            self._call("step", memory, *given, *(_pointer(one[row]) for one in outputs.values()))
            self._read_states(floats, [after[name][row] for name in program.states])
        return [outputs[name] for name in program.outputs], after

    def _new_state(self) -> np.ndarray:
        memory = np.empty(-(-self._size // 8) * 8, np.uint8)
        getattr(self.library, f"{self.name}_init")(_pointer(memory))
        return memory

    def _read_states(self, floats: np.ndarray, arrays: list[np.ndarray]) -> None:
        """Copy the states after one step from the struct; its first step of dilated states was replaced."""
        start = 0
        for array in arrays:
            values = floats[start : start + array.size].reshape(array.shape)
            array[...] = np.roll(values, -1, axis=0) if array.ndim > 1 else values
            start += array.size

    def _call(self, function: str, state: np.ndarray, *arguments: object) -> None:
        code = getattr(self.library, f"{self.name}_{function}")(_pointer(state), *arguments)
        if code != 0:
            raise RuntimeError(f"{self.name}_{function} returned {code}")


def _write_states(floats: np.ndarray, arrays: list[np.ndarray]) -> None:
    """Copy states to the beginning of the struct."""
    start = 0
    for array in arrays:
        floats[start : start + array.size] = array.ravel()
        start += array.size


def _readable(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.int32 if array.dtype.kind in "iu" else np.float32)


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
