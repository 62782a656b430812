"""Measurement of training memory: growth of the resident memory of a new process during two updates."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deeprnn_keras.bench.alternate import FLOPS
from deeprnn_keras.bench.process import StartWorker, WorkerError
from deeprnn_keras.bench.results import Figures

if TYPE_CHECKING:
    from deeprnn_keras.bench.implementations import Step
    from deeprnn_keras.bench.progress import ProgressListener
    from deeprnn_keras.bench.settings import Settings

UPDATES = 2
START_SECONDS = 8.0  # for estimates of the remaining time
STATUS = Path("/proc/self/status")


def measure_memory(name: str, settings: Settings, listener: ProgressListener, start: StartWorker) -> Figures:
    """Return {"case", "growth_mb"} of implementation `name`, measured in a new process, or {"case", "error"}."""
    case = settings.memory
    if case is None:
        raise ValueError("settings.memory must be a Case, got None")
    listener.begin(f"memory, {case.key}: {name}", estimate_memory_seconds(settings))
    with start(name) as process:
        try:
            return {"case": case.key, **process.request("memory", case=vars(case), seed=settings.seed)}
        except WorkerError as error:
            return {"case": case.key, "error": str(error)}


def estimate_memory_seconds(settings: Settings) -> float:
    """Return the expected duration for one implementation."""
    operations = settings.memory.operations if settings.memory else 0
    return START_SECONDS + UPDATES * operations / FLOPS


def memory_growth(step: Step) -> float:
    """Return the peak resident memory of two steps, including compilation, minus the memory before, in MB (10^6)."""
    before = resident_memory("VmRSS")
    for _ in range(UPDATES):
        step()
    return (resident_memory("VmHWM") - before) / 1e6


def resident_memory(field: str) -> int:
    """Return the resident memory of this process in bytes.

    Args:
        field: "VmRSS" for the current value, "VmHWM" for the peak. Systems without /proc report the peak for both.

    Raises:
        OSError: If the system reports neither.
    """
    # on Linux, the peak of getrusage includes that of the parent process at the time of the fork; /proc does not
    if STATUS.is_file():
        (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(field))
        return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:
        raise OSError(f"{sys.platform} does not report the resident memory of a process") from None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
