"""The fixture of workers that measure nothing."""

import pytest
from bench_fakes import Worker


@pytest.fixture
def workers():
    Worker.asked, Worker.failing, Worker.alive = [], {}, set()
    return Worker
