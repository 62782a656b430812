"""What all tests share: a quiet TensorFlow and seeded random numbers."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest


@pytest.fixture
def rng():
    """Seeded NumPy numbers; Keras' draws are seeded too."""
    import keras

    keras.utils.set_random_seed(7)
    return np.random.default_rng(7)
