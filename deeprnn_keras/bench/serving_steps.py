"""Steps of an LSTM one at a time: by a stream, by PyTorch, and by ONNX Runtime. Runs in worker processes.

All of them have the same weights, get a NumPy array, and return one; their states stay in the form that each prefers.
PyTorch and ONNX Runtime are imported in the functions: they are optional dependencies.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np

from deeprnn_keras._types import Config
from deeprnn_keras.bench.serving_case import ServingCase
from deeprnn_keras.program.interpreter import Interpreter
from deeprnn_keras.program.operations import Dense, Input, Recurrent
from deeprnn_keras.program.program import Program

Step: TypeAlias = Callable[[np.ndarray], np.ndarray]

CHECKED_STEPS = 3
TOLERANCE = 1e-4
MIN_STEPS = 100
WARM_UP_SECONDS = 0.1

_prepared: list[tuple[Step, np.ndarray]] = []


def build_program(case: ServingCase, seed: int) -> Program:
    """Return the model of a case with random weights."""
    rng = np.random.default_rng(seed)
    h = case.units
    weights = {"head/kernel": rng.normal(size=(h, 1), scale=h**-0.5), "head/bias": rng.normal(size=1)}
    operations, source = [], "x"
    for number in range(1, case.num_layers + 1):
        name = f"layer_{number}"
        for key in ("kernel", "recurrent_kernel"):
            weights[f"{name}/{key}"] = rng.normal(size=(h, 4 * h), scale=h**-0.5)
        weights[f"{name}/bias"] = rng.normal(size=4 * h, scale=0.1)
        kernel, recurrent_kernel, bias = (f"{name}/{key}" for key in ("kernel", "recurrent_kernel", "bias"))
        operations.append(Recurrent(name, (source,), h, kernel=kernel, recurrent_kernel=recurrent_kernel, bias=bias))
        source = name
    operations.append(Dense("head", (source,), 1, "head/kernel", "head/bias"))
    arrays = {name: array.astype(np.float32) for name, array in weights.items()}
    return Program("serving", (Input("x", h),), tuple(operations), ("head",), arrays)


# === Requests ===


def prepare(implementation: str, threads: int, case: Config, seed: int) -> Config:
    """Build a step and compare its first outputs with the reference interpreter.

    Raises:
        RuntimeError: If they differ.
    """
    _prepared.clear()
    os.environ["OMP_NUM_THREADS"] = str(threads)
    serving_case = ServingCase(**case)
    program = build_program(serving_case, seed)
    step = _STEPS[implementation](program, serving_case, threads)
    shape = (CHECKED_STEPS, serving_case.batch_size, serving_case.units)
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    expected = Interpreter(program, np.float64).run([x.swapaxes(0, 1)])[0][0].swapaxes(0, 1)
    difference = float(np.abs(np.stack([step(one).reshape(-1, 1) for one in x]) - expected).max())
    if not difference < TOLERANCE:
        raise RuntimeError(f"the outputs differ from the reference by {difference:.1e}")
    _prepared.append((step, x[0]))
    _measure(WARM_UP_SECONDS)
    return {"difference": difference}


def measure(seconds: float) -> Config:
    """Run the prepared step for some seconds and return the median and the 99th percentile in microseconds."""
    times = sorted(_measure(seconds))
    return {"median_us": statistics.median(times), "p99_us": times[int(0.99 * len(times))], "steps": len(times)}


def _measure(seconds: float) -> list[float]:
    step, x = _prepared[0]
    times, end = [], time.perf_counter() + seconds
    while len(times) < MIN_STEPS or time.perf_counter() < end:
        start = time.perf_counter_ns()
        step(x)
        times.append((time.perf_counter_ns() - start) / 1e3)
    return times


def read_bandwidth(num_bytes: int, threads: int, seconds: float) -> Config:
    """Return the bytes per second with which threads search an array, each its own part, over and over (memchr)."""
    search = ctypes.CDLL(None).memchr
    search.argtypes, search.restype = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t], ctypes.c_void_p
    array = np.ones(num_bytes, np.uint8)  # not zeros: untouched pages would share one page of memory
    part = num_bytes // threads

    def read(number: int) -> float:
        address, count, start = array.ctypes.data + number * part, 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds or not count:
            search(address, 0, part)
            count += 1
        return count * part / elapsed

    with ThreadPoolExecutor(threads) as pool:
        return {"gb_per_s": sum(pool.map(read, range(threads))) / 1e9}


# === Implementations ===


def stream_step(program: Program, case: ServingCase, _: int) -> Step:
    """Return the step of a `Stream`; it reads the number of threads from OMP_NUM_THREADS."""
    from deeprnn_keras.streaming import Stream

    stream: Any = Stream(program, case.batch_size)  # a step with one input returns one array
    return stream


def torch_step(program: Program, case: ServingCase, threads: int) -> Step:
    """Return the step of `torch.nn.LSTM` and a linear head in inference mode, with the state in a variable."""
    import torch

    torch.set_num_threads(threads)
    recurrent = torch.nn.LSTM(case.units, case.units, num_layers=case.num_layers, batch_first=True)
    head = torch.nn.Linear(case.units, 1)
    with torch.no_grad():
        for number in range(case.num_layers):
            weights = {
                key: program.weights[f"layer_{number + 1}/{key}"] for key in ("kernel", "recurrent_kernel", "bias")
            }
            getattr(recurrent, f"weight_ih_l{number}").copy_(torch.from_numpy(weights["kernel"].T.copy()))
            getattr(recurrent, f"weight_hh_l{number}").copy_(torch.from_numpy(weights["recurrent_kernel"].T.copy()))
            getattr(recurrent, f"bias_ih_l{number}").copy_(torch.from_numpy(weights["bias"]))
            getattr(recurrent, f"bias_hh_l{number}").zero_()
        head.weight.copy_(torch.from_numpy(program.weights["head/kernel"].T.copy()))
        head.bias.copy_(torch.from_numpy(program.weights["head/bias"]))
    state = None

    def step(x: np.ndarray) -> np.ndarray:
        nonlocal state
        with torch.inference_mode():
            y, state = recurrent(torch.from_numpy(x)[:, None], state)
            return head(y)[:, 0].numpy()

    return step


def onnx_step(program: Program, case: ServingCase, threads: int) -> Step:
    """Return the step of a session of ONNX Runtime whose states are inputs and outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(_onnx_model(program, case), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()[1:]]
    feeds: dict[str, Any] = {name: np.zeros((1, case.batch_size, case.units), np.float32) for name in names}

    def step(x: np.ndarray) -> np.ndarray:
        feeds["x"] = x[None]
        y, *states = session.run(None, feeds)
        feeds.update(zip(names, states, strict=True))
        return np.asarray(y)

    return step


def _onnx_model(program: Program, case: ServingCase) -> bytes:
    """Return the file of a model with one LSTM node per layer, x (1, n, d)."""
    from onnx import TensorProto, helper, numpy_helper

    arrays, nodes, source = {"axis": np.array([1], np.int64)}, [], "x"
    state_shape = [1, case.batch_size, case.units]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, state_shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, case.batch_size, 1])]
    for number in range(1, case.num_layers + 1):
        weights = (program.weights[f"layer_{number}/{key}"] for key in ("kernel", "recurrent_kernel", "bias"))
        kernel, recurrent_kernel, bias = map(_onnx_gates, weights)
        arrays[f"W{number}"], arrays[f"R{number}"] = kernel.T[None].copy(), recurrent_kernel.T[None].copy()
        arrays[f"B{number}"] = np.concatenate([bias, np.zeros_like(bias)])[None]
        reads = [source, f"W{number}", f"R{number}", f"B{number}", "", f"h{number}", f"c{number}"]
        results = [f"Y{number}", f"new_h{number}", f"new_c{number}"]
        nodes.append(helper.make_node("LSTM", reads, results, hidden_size=case.units))
        nodes.append(helper.make_node("Squeeze", [f"Y{number}", "axis"], [f"y{number}"]))
        source = f"y{number}"
        for name in ("h", "c"):
            inputs.append(helper.make_tensor_value_info(f"{name}{number}", TensorProto.FLOAT, state_shape))
            outputs.append(helper.make_tensor_value_info(f"new_{name}{number}", TensorProto.FLOAT, state_shape))
    arrays["head"], arrays["bias"] = program.weights["head/kernel"], program.weights["head/bias"]
    nodes += [helper.make_node("MatMul", [source, "head"], ["p"]), helper.make_node("Add", ["p", "bias"], ["y"])]
    initializers = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "serving", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def _onnx_gates(array: np.ndarray) -> np.ndarray:
    """Return gates i, f, g, o in the order of ONNX: i, o, f, g."""
    i, f, g, o = np.split(array, 4, axis=-1)
    return np.concatenate([i, o, f, g], axis=-1)


_STEPS: dict[str, Callable[[Program, ServingCase, int], Step]] = {
    "stream": stream_step,
    "torch": torch_step,
    "onnxruntime": onnx_step,
}
