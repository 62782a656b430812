"""Worker process of one implementation: `python -m deeprnn_keras.bench.worker NAME`.

The process reads one JSON request per line from stdin and writes one JSON response per line to stdout, until stdin
ends. All other output, including that of C++ libraries, is redirected to stderr. The response to a request that fails
is {"error": …, "traceback": …}.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
import traceback
from typing import TYPE_CHECKING

from deeprnn_keras._types import Config
from deeprnn_keras.bench.case import Case

if TYPE_CHECKING:
    from deeprnn_keras.bench.implementations import Step

MIN_STEPS = 3


class Worker:
    """Handler of the requests for one implementation, with at most one prepared case.

    Args:
        name: Name of the implementation.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.step: Step | None = None

    def environment(self) -> Config:
        """Return the device and the versions."""
        from deeprnn_keras.bench.environment import environment

        return environment()

    def sees_gpu(self) -> Config:
        """Return whether the library of the implementation sees a GPU."""
        if self.name == "torch":
            import torch

            return {"sees_gpu": torch.cuda.is_available()}
        import tensorflow as tf

        return {"sees_gpu": bool(tf.config.list_physical_devices("GPU"))}

    def call(self, function: str, arguments: Config) -> Config:
        """Return the result of "module:function", a dictionary, called with keyword arguments."""
        module, _, name = function.partition(":")
        return getattr(importlib.import_module(module), name)(**arguments)

    def prepare(self, case: Config, seed: int) -> Config:
        """Build a case and run its first 3 steps; the first one includes tracing and compilation."""
        from deeprnn_keras.bench.implementations import make_step

        self.step = None  # frees the memory of the previous case first
        self.step = step = make_step(self.name, Case(**case), seed)
        first, second, third = (_measure_seconds(step) for _ in range(3))
        variant = getattr(step, "variant", None)
        seconds = {"first_call_s": first, "second_call_s": second, "third_call_s": third}
        return {**seconds, "way": variant} if variant else seconds

    def measure(self, seconds: float) -> Config:
        """Run steps for about `seconds`, at least 3, and return their statistics."""
        if self.step is None:
            raise ValueError("no case is prepared; send a prepare request first")
        times, end = [], time.perf_counter() + seconds
        while len(times) < MIN_STEPS or time.perf_counter() < end:
            times.append(_measure_seconds(self.step))
        return {"median_ms": 1e3 * statistics.median(times), "least_ms": 1e3 * min(times), "steps": len(times)}

    def memory(self, case: Config, seed: int) -> Config:
        """Return the growth of the resident memory of this process during two updates, see `memory.py`."""
        from deeprnn_keras.bench.implementations import make_step
        from deeprnn_keras.bench.memory import memory_growth

        return {"growth_mb": memory_growth(make_step(self.name, Case(**case), seed))}

    def epoch(self, config: Config, updates: int, seed: int) -> Config:
        """Train two epochs on the text, see `epoch.py`."""
        module = "epoch_torch" if self.name == "torch" else "epoch_keras"
        train = importlib.import_module(f"deeprnn_keras.bench.{module}").train
        return train(self.name, config, updates, seed)

    def handle(self, request: Config) -> Config:
        """Return the response to {"op": name of a method, **arguments}."""
        operation = request.pop("op")
        try:
            return getattr(self, operation)(**request)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}


def _measure_seconds(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main(name: str) -> None:
    """Handle requests until stdin ends."""
    responses = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of libraries goes to stderr
    worker = Worker(name)
    for line in sys.stdin:
        responses.write(json.dumps(worker.handle(json.loads(line))) + "\n")
        responses.flush()


if __name__ == "__main__":
    main(sys.argv[1])
