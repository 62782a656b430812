"""Shared setup of all tests: a quiet TensorFlow, figures without a display, seeded random numbers, eager training."""

import gc
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# threads that wait for each other by spinning cost more than they compute in matrices as small as these
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# subprocesses import the package of this checkout, whichever is installed
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH")])
)

import numpy as np
import pytest


@pytest.fixture
def rng():
    """Seeded NumPy generator; Keras' generators are seeded, too."""
    import keras

    keras.utils.set_random_seed(7)
    return np.random.default_rng(7)


@pytest.fixture
def eager():
    """Run a test eagerly, see `eagerly`; fixtures of a larger scope are not affected."""
    from eagerly import eagerly

    with eagerly():
        yield


def pytest_collection_finish(session):
    """Exempt all that was imported from garbage collection, whose full passes take 0.3 s with TensorFlow loaded."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def frozen():
    """Exempt what a module leaves behind, for the same reason: caches of graphs and models grow with every test."""
    yield
    gc.collect()
    gc.freeze()
