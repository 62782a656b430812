"""Facts about this machine: the Keras backend and whether a GPU is visible."""

from __future__ import annotations

from deeprnn_keras.kernels.selection import Machine


def this_machine() -> Machine:
    """Return the `Machine` that this process runs on."""
    import keras

    backend = keras.backend.backend()
    return Machine(backend, backend == "tensorflow" and has_gpu())


def has_gpu() -> bool:
    """Return whether a GPU is visible to TensorFlow."""
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))
