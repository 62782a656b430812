"""`run_serving`: measure the steps of streams beside PyTorch and ONNX Runtime, each in a process of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import TypedDict

from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.bench.alternate import WorkerPool
from deeprnn_keras.bench.process import StartWorker, WorkerError, WorkerProcess
from deeprnn_keras.bench.results import CaseFigures, Figures, save_results
from deeprnn_keras.bench.serving_case import PACKAGES, ServingCase, ServingSettings, measured_name

MODULE = "deeprnn_keras.bench.serving_steps"
SMALLEST_STREAMED = 1 << 20
"""Bytes of weights from which on their bandwidth is compared with that of the machine."""
PREPARE_SECONDS = 1.5  # for estimates of the remaining time


class ServingResults(TypedDict):
    """Content of the file of results.

    Attributes:
        about: Device, versions, settings, and date.
        cases: {size: {name: figures}}: {"rounds_us": median of each round, "p99_us": 99th percentile of each round,
            "steps": steps of each round, "difference": from the reference}, or {"error": message}.
        bandwidth: {size: {number of threads as text: GB/s}} of reading as many bytes as the case has weights.
        notes: Remarks for the report.
    """

    about: Config
    cases: dict[str, CaseFigures]
    bandwidth: dict[str, dict[str, float]]
    notes: list[str]


def missing_packages(settings: ServingSettings) -> dict[str, str]:
    """Return {implementation: message} of those whose package is not installed."""
    return {
        name: f"{PACKAGES[name]} is not installed: pip install 'deeprnn-keras[serving]'"
        for name in settings.implementations
        if importlib.util.find_spec(PACKAGES[name]) is None
    }


def estimate_seconds(settings: ServingSettings) -> float:
    """Return the expected duration of `run_serving`."""
    turns = len(settings.names) * (PREPARE_SECONDS + settings.rounds * settings.seconds)
    return len(settings.cases) * turns


def run_serving(
    settings: ServingSettings,
    results: ServingResults,
    directory: PathLike,
    begin: Callable[[str, float], None] = lambda description, seconds: None,
    start: StartWorker = WorkerProcess,
) -> None:
    """Measure all cases and write the results file after each.

    Args:
        settings: Settings of the run.
        results: Results to complete.
        directory: Output directory.
        begin: Called with a description and the expected seconds before each measurement.
        start: Function that starts a worker.
    """
    with WorkerPool(start) as pool:
        for case in settings.cases:
            results["cases"][case.size] = _measure_case(pool, case, settings, begin)
            if case.weight_bytes >= SMALLEST_STREAMED:
                results["bandwidth"][case.size] = _read_bandwidth(pool, case, settings)
            save_results(results, directory)


def _measure_case(
    pool: WorkerPool, case: ServingCase, settings: ServingSettings, begin: Callable[[str, float], None]
) -> CaseFigures:
    figures: CaseFigures = {}
    for threads in settings.threads:
        for implementation in settings.implementations:
            name = measured_name(implementation, threads)
            begin(f"{case.size}: {name}, preparation", PREPARE_SECONDS)
            arguments = {"implementation": implementation, "threads": threads, "case": vars(case)}
            figures[name] = _request(pool, name, "prepare", {**arguments, "seed": settings.seed})
    names = list(figures)
    for number in range(settings.rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            begin(f"{case.size}: {name}, round {number + 1} of {settings.rounds}", settings.seconds)
            if "error" not in figures[name]:
                _add_round(figures[name], _request(pool, name, "measure", {"seconds": settings.seconds}))
    return figures


def _add_round(figures: Figures, response: Mapping[str, float]) -> None:
    if "error" in response:
        figures["error"] = response["error"]
        return
    for key, name in (("rounds_us", "median_us"), ("p99_us", "p99_us"), ("steps", "steps")):
        figures.setdefault(key, []).append(response[name])


def _request(pool: WorkerPool, name: str, function: str, arguments: Config) -> Figures:
    try:
        return dict(pool.request(name, "call", function=f"{MODULE}:{function}", arguments=arguments))
    except WorkerError as error:
        return {"error": str(error)}


def _read_bandwidth(pool: WorkerPool, case: ServingCase, settings: ServingSettings) -> dict[str, float]:
    """Return {number of threads: GB/s}, measured in the process of the first implementation."""
    bandwidth = {}
    for threads in settings.threads:
        arguments = {"num_bytes": case.weight_bytes, "threads": threads, "seconds": settings.seconds}
        response = _request(pool, settings.names[0], "read_bandwidth", arguments)
        if "error" not in response:
            bandwidth[str(threads)] = response["gb_per_s"]
    return bandwidth
