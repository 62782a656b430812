"""Description of the machine and the packages of a measurement."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from deeprnn_keras._types import Config
from deeprnn_keras.bench.implementations import LOWER_BOUND
from deeprnn_keras.bench.process import StartWorker, WorkerError, WorkerProcess

MAX_LOAD_PER_CORE = 0.3
PACKAGES = ("deeprnn-keras", "keras", "tensorflow", "torch", "numpy")
SERVING_PACKAGES = ("deeprnn-keras", "numpy", "torch", "onnxruntime")


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


def installed_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return {package: version} of the installed packages."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def worker_environment(start: StartWorker = WorkerProcess) -> Config:
    """Return the `environment` of a worker without importing TensorFlow in this process.

    Args:
        start: Function that starts the worker; by default, it uses no GPU.

    Raises:
        ValueError: If a worker cannot run on this machine.
    """
    with start(LOWER_BOUND) as process:
        try:
            return process.request("environment")
        except WorkerError as error:
            raise ValueError(f"the benchmark cannot run on this machine: {error}") from error


def environment() -> Config:
    """Return the device, package versions, and Python version; imports TensorFlow to identify the device.

    On a machine with a GPU, "gpu" contains the versions of the driver, CUDA, and cuDNN; otherwise, the device is
    followed by the instruction set of the native code.
    """
    from deeprnn_keras.training.device import device_name

    gpu = gpu_versions()
    device = device_name() if gpu else f"{device_name()}, {instruction_set()}"
    about = {"device": device, "versions": installed_versions(), "python": platform.python_version()}
    return {**about, "gpu": gpu} if gpu else about


def serving_environment() -> Config:
    """Return the CPU with the instruction set of the native code, package versions, and Python version."""
    from deeprnn_keras.training.device import cpu_name

    device = f"{cpu_name()}, {instruction_set()}"
    return {"device": device, "versions": installed_versions(SERVING_PACKAGES), "python": platform.python_version()}


def instruction_set() -> str:
    """Return the instruction set that the native code uses, for example 'avx512', or 'no native code'."""
    from deeprnn_keras.kernels.native import library

    return library.describe()["instruction_set"] if library.unavailable_reason() is None else "no native code"


def gpu_versions() -> dict[str, str]:
    """Return {"driver", "cuda", "cudnn"}, or an empty dictionary if TensorFlow sees no GPU.

    "cuda" and "cudnn" are the versions that TensorFlow was built with.
    """
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return {}
    build = tf.sysconfig.get_build_info()
    return {"driver": driver_version(), **{name: str(build.get(f"{name}_version", "")) for name in ("cuda", "cudnn")}}


def driver_version() -> str:
    """Return the version of NVIDIA's driver according to nvidia-smi, or "unknown" without this program."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return ", ".join(dict.fromkeys(output.split()))
