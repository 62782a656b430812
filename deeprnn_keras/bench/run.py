"""`run`: measure the grid, memory, and the epochs. The file is updated after each measurement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from deeprnn_keras._types import PathLike
from deeprnn_keras.bench.alternate import CaseMeasurement, WorkerPool, estimate_case_seconds
from deeprnn_keras.bench.epoch import estimate_epoch_seconds, measure_epoch
from deeprnn_keras.bench.memory import estimate_memory_seconds, measure_memory
from deeprnn_keras.bench.process import StartWorker, WorkerProcess
from deeprnn_keras.bench.progress import ProgressListener
from deeprnn_keras.bench.results import Figures, Results, is_complete, save_results
from deeprnn_keras.bench.settings import Settings


class Part(NamedTuple):
    """Measurement of one implementation outside the grid.

    Attributes:
        key: Key in the results.
        name: Name of the implementation.
        measure: Function that measures it.
        estimate: Function that returns the expected duration in seconds.
    """

    key: Literal["memory", "epoch"]
    name: str
    measure: Callable[[str, Settings, ProgressListener, StartWorker], Figures]
    estimate: Callable[[Settings], float]


def estimate_seconds(settings: Settings) -> float:
    """Return the expected duration of `run`."""
    grid_seconds = sum(estimate_case_seconds(case, settings.grid_implementations, settings) for case in settings.cases)
    return grid_seconds + sum(part.estimate(settings) for part in _parts(settings))


def run(
    settings: Settings,
    results: Results,
    directory: PathLike,
    listener: ProgressListener | None = None,
    start: StartWorker = WorkerProcess,
) -> None:
    """Measure the parts that `results` lacks, add them, and write the results file after each measurement.

    Args:
        settings: Settings of the run.
        results: Results from `new_results` or `resume_results`.
        directory: Output directory.
        listener: Receiver of the progress, or None.
        start: Function that starts the worker of an implementation.
    """
    listener = listener or ProgressListener()
    _run_grid(settings, results, directory, listener, start)
    for part in _parts(settings):
        if is_complete(results[part.key], [part.name]):
            listener.skip(part.estimate(settings))
        else:
            results[part.key][part.name] = part.measure(part.name, settings, listener, start)
            save_results(results, directory)


def _parts(settings: Settings) -> list[Part]:
    """Return the measurements outside the grid."""
    parts = []
    if settings.memory is not None:
        names = settings.memory_implementations
        parts += [Part("memory", name, measure_memory, estimate_memory_seconds) for name in names]
    if settings.epoch is not None:
        names = settings.epoch_implementations
        parts += [Part("epoch", name, measure_epoch, estimate_epoch_seconds) for name in names]
    return parts


def _run_grid(
    settings: Settings, results: Results, directory: PathLike, listener: ProgressListener, start: StartWorker
) -> None:
    names = settings.grid_implementations
    with WorkerPool(start) as pool:
        for case in settings.cases:
            figures = results["cases"].get(case.key, {})
            if is_complete(figures, names):
                listener.skip(estimate_case_seconds(case, names, settings))
            else:
                figures = CaseMeasurement(pool, case, names, settings, listener).run()
                results["cases"][case.key] = figures
                save_results(results, directory)
            listener.case(case, figures)
