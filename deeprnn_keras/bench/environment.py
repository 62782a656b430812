"""What a measurement ran on, for its record."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from deeprnn_keras.bench.implementations import FLOOR
from deeprnn_keras.bench.process import Process, WorkerError

BUSY = 0.3  # load per core
PACKAGES = ("deeprnn-keras", "keras", "tensorflow", "torch", "numpy")


def load_notes():
    """[a note], if the cores were at work over the last minute; [] if not, or where the system does not tell."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load < BUSY * os.cpu_count():
        return []
    return [
        f"The machine was at work at the start (load average {load:.1f} on {os.cpu_count()} cores): what shares its "
        "cores with another program is slowed down, and most of all what waits for its threads by spinning."
    ]


def versions():
    """{package: version} of those installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def environment_of_worker(start=Process):
    """`environment` as a worker sees it: without GPUs, and without TensorFlow in this process.

    Raises:
        ValueError: if no worker can run here.
    """
    with start(FLOOR) as process:
        try:
            return process.ask("about")
        except WorkerError as error:
            raise ValueError(f"nothing can be measured here: {error}") from error


def environment():
    """Device, versions and Python; TensorFlow is imported to ask for the device."""
    from deeprnn_keras.training.device import device_name

    return {"device": device_name(), "versions": versions(), "python": platform.python_version()}
