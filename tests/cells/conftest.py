"""Run the tests of this directory as plain graphs unless they are marked `compiled`."""

from without_xla import plain_graphs  # noqa: F401 - an autouse fixture
