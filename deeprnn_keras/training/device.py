"""Name of the hardware that a run used."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def device_name() -> str:
    """Return the names of the GPUs that TensorFlow sees, or the CPU and its number of cores: '2 cores, AMD EPYC'."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return ", ".join(detail.get("device_name", "GPU") for detail in details)
    return cpu_name()


def cpu_name() -> str:
    """Return the CPU and its number of cores: '2 cores, AMD EPYC'."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores, {name}"
