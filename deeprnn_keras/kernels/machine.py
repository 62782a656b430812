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
        return Machine(backend, native_missing=native_missing)
    return Machine(backend, has_gpu(), native_missing, _compat.is_exporting(), _compat.is_compiled_by_xla())


def has_gpu() -> bool:
    """Return whether a GPU is visible to TensorFlow."""
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))
