"""Shared setup of all tests: a quiet TensorFlow, figures without a display, seeded random numbers, eager training."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest


@pytest.fixture
def rng():
    """Seeded NumPy generator; Keras' generators are seeded, too."""
    import keras

    keras.utils.set_random_seed(7)
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def eager():
    """Run every `tf.function` of a module eagerly.

    Tracing and compiling a training step takes seconds, running it takes milliseconds. For tests of callbacks, data,
    files, and searches that train for a few steps; not for tests of what is traced or compiled.
    """
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def pytest_collection_finish(session):
    """Exempt everything imported so far from garbage collection, whose full passes take 0.3 s with TensorFlow loaded."""
    gc.collect()
    gc.freeze()
