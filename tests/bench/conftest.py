"""Fixtures of fake worker processes and of a machine on which nothing else runs."""

import pytest
from bench_fakes import FakeWorker

from deeprnn_keras.bench import environment


@pytest.fixture
def workers():
    FakeWorker.requests, FakeWorker.failures, FakeWorker.alive = [], {}, set()
    return FakeWorker


@pytest.fixture(autouse=True)
def idle_machine(monkeypatch):
    """Report a load average of 0: results contain a note about other programs, here those that run other tests."""
    monkeypatch.setattr(environment.os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
