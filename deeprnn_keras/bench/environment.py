"""Description of the machine and the packages of a measurement."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from deeprnn_keras._types import Config
from deeprnn_keras.bench.implementations import LOWER_BOUND
from deeprnn_keras.bench.process import StartWorker, WorkerError, WorkerProcess

MAX_LOAD_PER_CORE = 0.3
PACKAGES = ("deeprnn-keras", "keras", "tensorflow", "torch", "numpy")


def load_notes() -> list[str]:
    """Return a note if other programs used the cores during the last minute, else an empty list.

    The list is also empty on systems without a load average.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cores = os.cpu_count() or 1
    if load < MAX_LOAD_PER_CORE * cores:
        return []
    return [
        f"Other programs were running at the start (load average {load:.1f} on {cores} cores). They slow down all "
        "implementations, most of all those whose threads wait in busy loops."
    ]


def installed_versions() -> dict[str, str]:
    """Return {package: version} of the installed packages."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def worker_environment(start: StartWorker = WorkerProcess) -> Config:
    """Return the `environment` of a worker, which uses no GPU, without importing TensorFlow in this process.

    Raises:
        ValueError: If a worker cannot run on this machine.
    """
    with start(LOWER_BOUND) as process:
        try:
            return process.request("environment")
        except WorkerError as error:
            raise ValueError(f"the benchmark cannot run on this machine: {error}") from error


def environment() -> Config:
    """Return the device, package versions, and Python version; imports TensorFlow to identify the device."""
    from deeprnn_keras.training.device import device_name

    return {"device": device_name(), "versions": installed_versions(), "python": platform.python_version()}
