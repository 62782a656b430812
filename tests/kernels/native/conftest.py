"""Fixtures of the tests of the native library."""

import pytest

from deeprnn_keras.kernels.native import library


@pytest.fixture
def native():
    """Skip the test if the library is not available."""
    reason = library.unavailable_reason()
    if reason:
        pytest.skip(reason)
    return library.load()


@pytest.fixture
def instruction_set(native):
    """Return a function that selects an instruction set until the end of the test."""
    before = native.deeprnn_instruction_set()

    def select(name):
        if native.deeprnn_use(name.encode()) != library.OK:
            pytest.skip(f"{name} was not compiled or is not supported by this CPU")

    yield select
    native.deeprnn_use(before)


@pytest.fixture
def set_threads(monkeypatch):
    """Return a function that sets the number of threads of the calls that follow."""
    return lambda count: monkeypatch.setattr(library, "threads", lambda: count)
