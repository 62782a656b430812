"""Measurement of the parts of `gpu.py`. The results are saved after each part."""

from __future__ import annotations

import os
import queue
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.gpu_plan import COMPARING_WORKER, GpuResults, Part, Plan, operator_part, planned_names, sequential_parts
from benchmarks.gpu_report import save_page
from deeprnn_keras._types import Config
from deeprnn_keras.bench.deadline import DeadlineReachedError, TimedWorkerPool
from deeprnn_keras.bench.progress import ProgressListener
from deeprnn_keras.bench.results import Figures, new_results, save_results

MAX_TRACING_WORKERS = 4


def new_gpu_results(about: Config, plan: Plan) -> GpuResults:
    """Return results without measurements."""
    sections: dict[str, dict[str, Figures]] = {"operators": {}, "masks": {}, "precision": {}}
    return GpuResults(**new_results(about), **sections, variants={}, planned=planned_names(plan))


def estimate_seconds(plan: Plan) -> float:
    """Return the expected duration of `run`."""
    workers = tracing_workers()
    tracing = sum(operator_part(plan, entry, "").seconds for entry in plan.entries) / workers
    return tracing + sum(part.seconds for part in sequential_parts(plan))


def tracing_workers() -> int:
    """Return the number of processes that trace models at the same time; times are not measured meanwhile."""
    return max(1, min(MAX_TRACING_WORKERS, (os.cpu_count() or 1) // 2))


def run(
    plan: Plan, results: GpuResults, directory: Path, pool: TimedWorkerPool, listener: ProgressListener | None = None
) -> bool:
    """Measure the parts that `results` lacks, and save the results after each part.

    Args:
        plan: Plan of the measurements.
        results: Results, which are updated.
        directory: Output directory.
        pool: Workers.
        listener: Receiver of the progress, or None.

    Returns:
        True if all parts were measured, False if the deadline of the pool was reached.
    """
    listener = listener or ProgressListener()
    try:
        _trace_models(plan, results, directory, pool, listener)
        for part in sequential_parts(plan):
            if is_measured(results, part.section, part.name):
                listener.skip(part.seconds)
                continue
            if part.section not in ("cases", "variants"):  # their measurement announces each of its steps
                listener.begin(f"{part.section}: {part.name}", part.seconds)
            _store(results, part, part.measure(pool, listener), directory)
    except DeadlineReachedError:
        return False
    return True


def is_measured(results: GpuResults, section: str, name: str) -> bool:
    """Return True if a part was measured without an error."""
    figures = results[section].get(name)
    return figures is not None and not has_error(figures)


def has_error(figures: Mapping[str, object]) -> bool:
    """Return True if the figures of a part, or of one of its implementations, are those of a failure."""
    nested = [value for value in figures.values() if isinstance(value, dict)]
    return "error" in figures or any("error" in value for value in nested)


def _store(results: GpuResults, part: Part, figures: Figures, directory: Path) -> None:
    results[part.section][part.name] = figures
    save_results(results, directory)
    save_page(results, directory)


def _trace_models(
    plan: Plan, results: GpuResults, directory: Path, pool: TimedWorkerPool, listener: ProgressListener
) -> None:
    """Trace the models of the zoo in several processes."""
    count, workers = tracing_workers(), queue.SimpleQueue[str]()
    extra = [f"tracing {number}" for number in range(1, count)]
    for name in (COMPARING_WORKER, *extra):
        workers.put(name)

    def measure(entry: str) -> tuple[Part, Figures]:
        worker = workers.get()
        try:
            part = operator_part(plan, entry, worker)
            return part, part.measure(pool, listener)
        finally:
            workers.put(worker)

    entries = [entry for entry in plan.entries if not is_measured(results, "operators", entry)]
    executor = ThreadPoolExecutor(count)
    futures = [executor.submit(measure, entry) for entry in entries]
    try:
        for number, future in enumerate(as_completed(futures), start=1):
            part, figures = future.result()
            listener.begin(f"operators: {number} of {len(entries)} models", part.seconds / count)
            _store(results, part, figures, directory)
    except BaseException:  # the deadline, or Ctrl-C: the other threads must not wait for their workers
        executor.shutdown(wait=False, cancel_futures=True)
        pool.kill_all()
        raise
    finally:
        executor.shutdown()
    for name in extra:
        pool.stop(name)
