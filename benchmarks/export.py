"""Exported C file of a King James model beside ONNX Runtime, one thread each. Takes about a minute.

python -m benchmarks.export [NAME]  # kjv_lstm_2x256 by default
"""

from __future__ import annotations

import ctypes
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from deeprnn_keras import Program, export, zoo
from deeprnn_keras.exporters.c_source.compiler import compile_shared

STEPS, ROUNDS = 2_000, 9
OBJECT = ("cc", "-O3", "-march=native", "-c")


def c_run(path: Path, ids: np.ndarray, width: int) -> Callable[[], object]:
    """Return a function that reads ids with the C file, compiled with -O3 -march=native."""
    library = path.with_suffix(".so")
    compile_shared([path], library, ["-march=native"])
    functions, memory = ctypes.CDLL(str(library)), np.zeros(2**20, np.uint8)
    logits = np.empty((len(ids), width), np.float32)

    def run() -> None:
        state, x, y = (ctypes.c_void_p(array.ctypes.data) for array in (memory, ids, logits))
        functions.model_init(state)
        functions.model_run(state, ctypes.c_size_t(len(ids)), x, y)

    return run


def onnx_runs(directory: Path, program: Program, ids: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return functions that read ids with ONNX Runtime: in one call, and in one call per step."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1

    def session(name: str, streaming: bool) -> onnxruntime.InferenceSession:
        export(program, directory / name, streaming=streaming)
        return onnxruntime.InferenceSession(directory / name, options, providers=["CPUExecutionProvider"])

    whole, step = session("whole.onnx", False), session("step.onnx", True)
    x, *states = [one.name for one in step.get_inputs()]

    def steps() -> None:
        values = list(program.initial_states(1).values())
        for t in range(len(ids)):
            _, *values = step.run(None, {x: ids[None, t : t + 1], **dict(zip(states, values, strict=True))})

    return {"ONNX Runtime, one call": lambda: whole.run(None, {x: ids[None]}), "ONNX Runtime, one step a call": steps}


def microseconds_per_step(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return medians of alternating rounds, in processor time."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            start = time.process_time()
            function()
            times[name].append(1e6 * (time.process_time() - start) / STEPS)
    return {name: statistics.median(one) for name, one in times.items()}


def object_size(path: Path) -> int:
    """Return the size of the compiled file."""
    compiled = path.with_suffix(".o")
    subprocess.run([*OBJECT, str(path), "-o", str(compiled)], check=True)
    return compiled.stat().st_size


def main(name: str = "kjv_lstm_2x256") -> None:
    """Print the figures of a model."""
    program = zoo.load_program(name)
    width = program.inputs[0].width
    ids = np.random.default_rng(0).integers(0, width, STEPS).astype(np.int32)
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        functions, sizes = onnx_runs(directory, program, ids), []
        for quantize in (None, "int8"):
            folder = directory / f"{quantize}"
            folder.mkdir()
            export(program, folder / "model.c", quantize=quantize)
            functions[f"C, {quantize or 'float32'}"] = c_run(folder / "model.c", ids, width)
            sizes.append(object_size(folder / "model.c"))
        for label, value in microseconds_per_step(functions).items():
            print(f"{label:32}{value:8.1f} microseconds per step")
    print(f"compiled file with int8: {sizes[1] / sizes[0]:.3f} of the size of float32, {sizes[0]:,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
