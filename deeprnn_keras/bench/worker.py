"""The process of one implementation: `python -m deeprnn_keras.bench.worker NAME`.

It reads one JSON request a line from stdin and answers each with one JSON line on stdout; whatever else is printed, by
a library's C++ too, goes to stderr. It ends when stdin does. An answer is {"error": ..., "traceback": ...} where a
request fails.
"""

import importlib
import json
import os
import statistics
import sys
import time
import traceback

from deeprnn_keras.bench.case import Case

LEAST_STEPS = 3


class Worker:
    """Answers requests for one implementation; it holds one case at a time."""

    def __init__(self, name):
        self.name, self.step = name, None

    def about(self):
        """What it runs on."""
        from deeprnn_keras.bench.environment import environment

        return environment()

    def prepare(self, case, seed):
        """Builds `case` and runs its first steps; the first one, which traces and compiles, is timed on its own."""
        from deeprnn_keras.bench.implementations import make_step

        self.step = None  # the last case's memory goes before the next one's comes
        self.step = make_step(self.name, Case(**case), seed)
        first, second, third = (_timed(self.step) for _ in range(3))
        return {"first_call_s": first, "second_call_s": second, "third_call_s": third, **_details(self.step)}

    def measure(self, seconds):
        """Steps for about so many seconds, and at least three; their median."""
        times, end = [], time.perf_counter() + seconds
        while len(times) < LEAST_STEPS or time.perf_counter() < end:
            times.append(_timed(self.step))
        return {"median_ms": 1e3 * statistics.median(times), "least_ms": 1e3 * min(times), "steps": len(times)}

    def memory(self, case, seed):
        """How far two updates push this process' resident memory; see `memory.py`."""
        from deeprnn_keras.bench.implementations import make_step
        from deeprnn_keras.bench.memory import growth

        return {"growth_mb": growth(make_step(self.name, Case(**case), seed))}

    def epoch(self, model, updates, seed):
        """Two epochs on the text; see `epoch.py`."""
        module = "epoch_torch" if self.name == "torch" else "epoch_keras"
        train = importlib.import_module(f"deeprnn_keras.bench.{module}").train
        return train(self.name, model, updates, seed)

    def answer(self, request):
        """The answer to one request: {"op": "prepare" | "measure" | ..., and the arguments}."""
        operation = request.pop("op")
        try:
            return getattr(self, operation)(**request)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}


def _timed(step):
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def _details(step):
    return {"way": step.way} if hasattr(step, "way") else {}


def main(name):
    """Serves until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # prints and greetings go to stderr
    worker = Worker(name)
    for line in sys.stdin:
        answers.write(json.dumps(worker.answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
