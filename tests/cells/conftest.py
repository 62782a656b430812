"""Tests here run as plain graphs unless marked `compiled`."""

from without_xla import plain_graphs  # noqa: F401 - an autouse fixture
