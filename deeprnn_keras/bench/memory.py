"""Memory in training: how far two updates push a fresh process' resident memory."""

import sys
from pathlib import Path

from deeprnn_keras.bench.alternate import OPERATIONS_PER_SECOND
from deeprnn_keras.bench.process import WorkerError

UPDATES = 2
START_SECONDS = 8.0
STATUS = Path("/proc/self/status")


def measure_memory(name, settings, watcher, start):
    """{"growth_mb": ...} of one implementation, in a process of its own, or {"error": words}."""
    case = settings.memory
    watcher.begin(f"memory, {case.key}: {name}", memory_seconds(settings))
    with start(name) as process:
        try:
            return {"case": case.key, **process.ask("memory", case=vars(case), seed=settings.seed)}
        except WorkerError as error:
            return {"case": case.key, "error": str(error)}


def memory_seconds(settings):
    """A guess at how long it takes for one implementation."""
    return START_SECONDS + UPDATES * settings.memory.operations / OPERATIONS_PER_SECOND


def growth(step):
    """Greatest resident memory during two steps, compilation included, less that before the first, in MB (10^6)."""
    before = resident_memory("VmRSS")
    for _ in range(UPDATES):
        step()
    return (resident_memory("VmHWM") - before) / 1e6


def resident_memory(which):
    """Resident memory of this process in bytes: "VmRSS", now, or "VmHWM", the greatest so far.

    Where there is no /proc, both are the greatest so far. Linux has that from `getrusage` too, but there a child
    begins with its parent's.

    Raises:
        OSError: on systems that tell neither.
    """
    if STATUS.is_file():
        (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(which))
        return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:
        raise OSError(f"{sys.platform} does not tell a process' resident memory") from None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
