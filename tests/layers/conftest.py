"""Run tests in this directory as plain graphs, without compilation by XLA, unless they are marked `compiled`."""

from without_xla import plain_graphs  # noqa: F401 - an autouse fixture
