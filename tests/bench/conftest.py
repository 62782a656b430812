"""Fixture of fake worker processes."""

import pytest
from bench_fakes import FakeWorker


@pytest.fixture
def workers():
    FakeWorker.requests, FakeWorker.failures, FakeWorker.alive = [], {}, set()
    return FakeWorker
