"""Facts about this machine, this process, and the graph being traced."""

from __future__ import annotations

from deeprnn_keras import _compat
from deeprnn_keras.kernels.contract import Machine
from deeprnn_keras.kernels.native import library


def this_machine() -> Machine:
    """Return the `Machine` that this process runs on."""
    import keras

    backend = keras.backend.backend()
    native_missing = library.unavailable_reason() or ""
    if backend != "tensorflow":
        return _machine_of_other_backend(backend, native_missing)
    return Machine(backend, has_gpu(), native_missing, _compat.is_exporting(), _compat.is_compiled_by_xla())


def _machine_of_other_backend(backend: str, native_missing: str) -> Machine:
    gpu = {"jax": _compat.jax_platform, "torch": _compat.torch_device}.get(backend, lambda: "cpu")() != "cpu"
    compiled = backend == "torch" and _compat.is_compiled_by_torch()
    return Machine(backend, gpu, native_missing, _compat.is_exporting(), compiled_by_torch=compiled)


def has_gpu() -> bool:
    """Return whether a GPU is visible to TensorFlow."""
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))
