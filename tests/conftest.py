"""Setup shared by all tests: log level, figures without a display, random seeds, eager execution."""

import gc
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# with the small matrices of the tests, threads spend more time waiting for each other than computing
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# each kernel runs a few times; .ci/long tests the default optimization level and the default emitters
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")
# subprocesses import the package from this checkout, even if another one is installed
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH")])
)

# a shell lets commands in the background ignore Ctrl-C, which tests send to themselves and to subprocesses
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest

# with the default thresholds, collections of the many small objects of Keras models take a tenth of the time
gc.set_threshold(50_000, 20, 20)


@pytest.fixture
def rng():
    """Return a seeded NumPy generator; Keras' global generators are seeded, too."""
    import keras

    keras.utils.set_random_seed(7)
    return np.random.default_rng(7)


@pytest.fixture
def eager():
    """Run the test under `eagerly`; fixtures of a larger scope are not affected."""
    from eagerly import eagerly

    with eagerly():
        yield


def keep_kernels():
    """Let `keras.utils.set_random_seed` keep TensorFlow's cache of the kernels of eager operations.

    Most tests set a seed, and would take twice as long if they created all kernels again. Only numbers of stateful
    random operations depend on the cache; Keras and this package use the stateless ones.
    """
    if "tensorflow" in sys.modules:
        from tensorflow.python import pywrap_tfe

        pywrap_tfe.TFE_ContextClearCaches = lambda context: None


def pytest_collection_finish(session):
    """Exempt imported modules from garbage collection, whose full passes take 0.3 s with TensorFlow loaded."""
    keep_kernels()
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def freeze_garbage_collection():
    """Exempt the objects that a test module leaves behind, too: caches of graphs and models grow with every test."""
    yield
    gc.collect()
    gc.freeze()


# === The native library ===


@pytest.fixture
def native():
    """Skip the test if the library is not available."""
    from deeprnn_keras.kernels.native import library

    reason = library.unavailable_reason()
    if reason:
        pytest.skip(reason)
    return library.load()


@pytest.fixture
def instruction_set(native):
    """Return a function that selects an instruction set until the end of the test."""
    before = native.deeprnn_instruction_set()

    def select(name):
        if native.deeprnn_use(name.encode()):
            pytest.skip(f"{name} was not compiled or is not supported by this CPU")

    yield select
    native.deeprnn_use(before)


@pytest.fixture
def set_threads(monkeypatch):
    """Return a function that sets the number of threads of the calls that follow."""
    from deeprnn_keras.kernels.native import library

    return lambda count: monkeypatch.setattr(library, "threads", lambda: count)
